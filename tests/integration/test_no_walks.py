"""What happens per command and per scrape costs the same, however many features there are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from sluiceway.contracts.commands import (
    AbortTrigger,
    ArchiveFeature,
    PauseTrigger,
    SavePipeline,
    UnpauseTrigger,
)
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from tests.support.brokers import Broker
from tests.support.browsers import browsing
from tests.support.catalogues import PIPELINE, apply_catalogue, phase, pipeline
from tests.support.consoles import running_console
from tests.support.parsed_bodies import parsed_bodies
from tests.support.system import EVERYONE, driving, services

ON_OTHER = {"name": "other", "conditions": [{"type": "passes_gate", "targetValue": "other"}]}


GATES = 60
#: What is loaded → the features whose bodies it may parse: those that it shows.
PAGES = {
    "/": 25,
    "/?page=3": 10,
    "/features": 50,
    "/features?page=2": 10,
    "/features?q=G07": 1,
    "/pipelines": 0,
    f"/pipelines/{PIPELINE}": 0,
}
LISTS = {
    "/console/v1/gates?limit=7": 7,
    f"/console/v1/gates?limit=7&page=9&releasePipelineID={PIPELINE}": 4,
    "/console/v1/release_pipeline_triggers?limit=7": 7,
    "/api/v1/triggers?limit=7": 7,
    "/api/v1/triggers?status=PAUSED": 0,
    "/api/v1/regions": 0,
    "/api/v1/regions/dev": 0,
}


def no_walk(view: FeatureView) -> Iterator[FeatureEntry]:
    raise AssertionError("something walks over all features")


async def test_no_command_and_no_scrape_of_a_scheduler_walks_over_all_features(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"))
        monkeypatch.setattr(FeatureView, "__iter__", no_walk)

        await driver.accepted(SavePipeline, pipeline=pipeline(phase("dev", bake_ms=10**9)))
        await driver.save_gate("other", EVERYONE)
        await driver.save_gate("checkout", ON_OTHER, releasePipelineID=PIPELINE)
        for command in (PauseTrigger, UnpauseTrigger):
            await driver.act(command, "gate.checkout.1")
        refusal = await driver.refused(ArchiveFeature, kind=FeatureKind.GATE, name="other")
        in_use = await driver.refused(SavePipeline, pipeline=pipeline(phase("dev", bake_ms=1)))
        scraped = generate_latest(REGISTRY).decode()
        await driver.act(AbortTrigger, "gate.checkout.1")

        assert refusal.message == "gate.other is used by checkout; change that first"
        assert "is running for gate.checkout" in in_use.message
        assert 'sluiceway_active_triggers{status="IN_PROGRESS"} 1.0' in scraped


async def test_a_page_of_the_console_parses_what_stands_on_it(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=10**9))
        for number in range(GATES):
            await driver.save_gate(f"g{number:02}", EVERYONE, releasePipelineID=PIPELINE)
        async with (
            running_console(broker.url, tmp_path) as console,
            browsing(console.url, console.key) as browser,
        ):
            monkeypatch.setattr(FeatureView, "__iter__", no_walk)
            parsed, counts = parsed_bodies(monkeypatch), dict[str, int]()
            for path in (*PAGES, *LISTS):
                console.backend.features._parsed.clear()
                parsed.clear()
                answer = await (browser if path in PAGES else console.admin).get(path)
                assert answer.status_code == 200, answer.text
                counts[path] = len(parsed)

    assert counts == {**PAGES, **LISTS}
