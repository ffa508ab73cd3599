"""`sluiceway guardrails try`, and what log and watch show of guardrails."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from sluiceway.contracts.feature import TriggerStatus
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase, pipeline, region
from tests.support.cli.calls import Cli
from tests.support.prometheus import StubPrometheus, broken, stub_prometheus
from tests.support.system import EVERYONE, driving, services
from tests.support.waiting import BOUND_SECONDS, eventually

ERRORS = {
    "name": "errors",
    "query": 'errors{region="{{ region }}", feature="{{ feature }}"}',
    "failureCondition": "> 0.02",
    "interval": "100ms",
}
PAGER = {"name": "pager", "alert": {"matchLabels": {"severity": "critical"}}}


@pytest.fixture
async def prometheus() -> AsyncIterator[StubPrometheus]:
    async with stub_prometheus() as stub:
        yield stub


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A pipeline with its regions: all that is needed without a broker."""
    phases = [phase("dev", guardrails=[ERRORS, PAGER]), phase("prod-eu", guardrails=[ERRORS])]
    documents = [
        {"kind": "ReleasePipeline", **pipeline(*phases)},
        *({"kind": "Region", **region(name)} for name in ("dev", "prod-eu")),
    ]
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


@pytest.fixture
def alone() -> Cli:
    """The command line, where no broker is."""
    return Cli("nats://127.0.0.1:9")


async def test_each_query_is_run_once_and_its_value_shown(
    alone: Cli, file: str, prometheus: StubPrometheus
) -> None:
    prometheus.answer = lambda query: 0.01

    call = await alone("guardrails", "try", "-f", file, "--prometheus", prometheus.url, "--json")

    assert call.code == 0
    shown = json.loads(call.out)
    assert [(one["phase"], one.get("region"), one.get("judgement")) for one in shown] == [
        ("dev", "dev", "success"),
        ("prod-eu", "prod-eu", "success"),
        ("dev", None, None),
    ]
    assert sorted(prometheus.queries) == [
        f'errors{{region="{name}", feature="example"}}' for name in ("dev", "prod-eu")
    ]


async def test_a_failure_or_an_error_exits_with_one(
    alone: Cli, file: str, prometheus: StubPrometheus
) -> None:
    prometheus.answer = lambda query: 0.05 if "dev" in query else broken()

    call = await alone("guardrails", "try", "-f", file, "--prometheus", prometheus.url)

    assert call.code == 1
    assert "0.05 meets the failure condition '> 0.02'" in call.out
    assert "Prometheus answered 503" in call.out
    assert "for alerts with severity=critical" in call.out
    assert "2 of 2 measurements would not pass" in call.error


async def test_an_unreachable_prometheus_is_reported(alone: Cli, file: str) -> None:
    call = await alone("guardrails", "try", "-f", file, "--prometheus", "http://127.0.0.1:9")

    assert call.code == 1
    assert "Prometheus cannot be reached" in call.out


async def test_an_invalid_pipeline_is_refused_as_it_is_when_saved(alone: Cli, tmp_path: Path) -> None:
    bad = pipeline(phase("dev", guardrails=[{**ERRORS, "query": "sum("}]))
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({"kind": "ReleasePipeline", **bad}))

    call = await alone.refused("guardrails", "try", "-f", str(path))

    assert "guardrail 'errors': query: invalid PromQL" in call.error


async def test_missing_regions_are_reported(alone: Cli, tmp_path: Path) -> None:
    path = tmp_path / "lonely.yaml"
    path.write_text(
        yaml.safe_dump({"kind": "ReleasePipeline", **pipeline(phase("dev", guardrails=[ERRORS]))})
    )

    call = await alone.refused("guardrails", "try", "-f", str(path))

    assert "covers no known region" in call.error


async def test_log_and_watch_show_measurements_and_verdicts(
    broker: Broker, prometheus: StubPrometheus
) -> None:
    cli = Cli(broker.url)
    async with services(broker.url, prometheus_url=prometheus.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=3_600_000, guardrails=[ERRORS]))
        await driver.save_gate("checkout")
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
        trigger = "gate.checkout.1"

        async def is_passing() -> bool:
            return "passing" in (await cli.succeeds("trigger", "log", trigger)).out

        await eventually(is_passing, "the log shows a verdict")
        async with (
            cli.running("watch", trigger, "--json") as watching,
            asyncio.timeout(BOUND_SECONDS),
        ):
            assert watching.stdout
            seen = [json.loads(await watching.stdout.readline())]
            prometheus.answer = lambda query: 1.0
            while seen[-1].get("verdict") != "failed":
                seen.append(json.loads(await watching.stdout.readline()))
        assert seen[0]["verdict"] == "passing"
        await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)

        log = json.loads((await cli.succeeds("trigger", "log", trigger, "--json")).out)
        verdicts = [entry["verdict"] for entry in log if entry["type"] == "guardrail_verdict"]
        assert verdicts == ["passing", "failed"]
        everything = json.loads(
            (await cli.succeeds("trigger", "log", trigger, "--json", "--measurements")).out
        )
        assert len(everything) > len(log)
