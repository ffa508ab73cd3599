"""What happens per command and per scrape costs the same, however many features there are."""

from collections.abc import Iterator

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
from tests.support.catalogues import PIPELINE, apply_catalogue, phase, pipeline
from tests.support.system import EVERYONE, driving, services

ON_OTHER = {"name": "other", "conditions": [{"type": "passes_gate", "targetValue": "other"}]}


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
