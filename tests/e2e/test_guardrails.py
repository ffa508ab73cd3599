"""The whole system with a real Prometheus and a real Alertmanager.

Errors in one region roll a release back in all of them: by an alert, and by a guardrail's query. Without
its Prometheus a release is held, and not rolled back.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.commands import SavePipeline
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.measurements import Round, Verdict
from sluiceway.messaging.feature_log import LoggedEvent
from sluiceway.messaging.measurement_store import MeasurementStore
from tests.support.catalogues import REGIONS, apply_catalogue, phase, pipeline
from tests.support.edges import create_key
from tests.support.http import http_client
from tests.support.local import LocalSystem, local_system
from tests.support.observability import Prometheus, alertmanager, free_port, prometheus, skip_without_binaries
from tests.support.system import EVERYONE, Driver, driving
from tests.support.traffic import Traffic, exported
from tests.support.waiting import eventually

skip_without_binaries()
pytestmark = pytest.mark.asyncio(loop_scope="module")

FAILING = "prod-us-west"
LONG_MS = 3_600_000
BAKE_MS = 3_000
TOKEN = "a-token-of-the-tests"
#: From crossing the limit to firing: at most 3 s with a scrape every second, and part of the window.
REVERTED_SECONDS = 10.0
OURS_SECONDS = 2.0
#: A Prometheus that was started again scrapes after 5 s; a held phase is tried again every 4 s.
BACK_SECONDS = 40.0

ERROR_RATIO = (
    "sum by (region) (rate(http_requests_errors_total{0}[4s]))"
    " / sum by (region) (rate(http_requests_total{0}[4s]))"
)
RULE = {
    "alert": "ErrorRatioHigh",
    "expr": f"{ERROR_RATIO.format('')} > 0.05",
    "labels": {"gate": "by_alert"},
}
GUARDRAIL_NAME = "errors"
GUARDRAIL = {
    "name": GUARDRAIL_NAME,
    "query": ERROR_RATIO.format('{region="{{ region }}"}'),
    "failureCondition": "> 0.05",
    "interval": "500ms",
    "consecutiveErrorLimit": 2,
}
BY_ALERT = pipeline(
    *(phase(name, bake_ms=LONG_MS if name == "prod-eu" else 50) for name in REGIONS), name="by-alert"
)
BY_QUERY = pipeline(
    *({**one, "guardrails": [GUARDRAIL]} if one["name"] == FAILING else one for one in BY_ALERT["phases"]),
    name="by-query",
)
IN_THE_DARK = pipeline(
    *(
        {**phase(name, bake_ms=BAKE_MS), "guardrails": [GUARDRAIL]} if name == FAILING else phase(name)
        for name in REGIONS
    ),
    name="in-the-dark",
)


@dataclass
class Stage:
    """Everything that runs, and the steps of the tests."""

    traffic: Traffic
    prometheus: Prometheus
    driver: Driver
    #: Region → a client of its edge, with a key of the region.
    edges: Mapping[str, httpx2.AsyncClient]

    async def release(self, gate: str, plan: dict[str, Any]) -> str:
        """Start a release while nothing fails; return its trigger."""
        await eventually(self._is_healthy, "no request fails any more")
        await self.driver.save_gate(gate)
        reply = await self.driver.save_gate(gate, EVERYONE, releasePipelineID=plan["name"])
        assert reply.feature
        assert reply.feature.trigger
        return reply.feature.trigger.id

    async def regions_with(self, gate: str) -> set[str]:
        """Return the regions whose edges serve the gate to everybody."""
        return {name for name, edge in self.edges.items() if await _passes(edge, gate)}

    async def reaches(self, gate: str, regions: Iterable[str]) -> None:
        wanted = set(regions)

        async def look() -> bool:
            return await self.regions_with(gate) == wanted

        await eventually(look, f"{gate} is in {wanted or 'no region'}")

    async def rolled_back(self, gate: str) -> LoggedEvent:
        """Return the event that rolled the release back."""

        async def look() -> LoggedEvent | None:
            last = (await self.driver.history(gate))[-1]
            return last if last.event.type is EventType.TRIGGER_ROLLED_BACK else None

        return await eventually(look, f"{gate} is rolled back", REVERTED_SECONDS)

    async def reverted_ms(self, logged: LoggedEvent) -> float:
        """Return when the last edge had applied an event."""
        return max([await self._applied_ms(name, logged) for name in self.edges])

    async def last_round(self, trigger: str) -> Round | None:
        """Return the newest round of the guardrail."""
        rounds = await MeasurementStore(self.driver.connection, "/tests").rounds(trigger)
        of_guardrail = [r for r in rounds if (r.phase_id, r.guardrail) == (FAILING, GUARDRAIL_NAME)]
        return of_guardrail[-1] if of_guardrail else None

    async def _is_healthy(self) -> bool:
        ratio = await self.prometheus.value(f"max({ERROR_RATIO.format('')})")
        return ratio is not None and ratio < 0.01

    async def _applied_ms(self, region: str, logged: LoggedEvent) -> float:
        """Return when a region's edge had applied an event, as it reports."""
        subject = subjects.applied(region, f"edge-{region}")

        async def look() -> float | None:
            try:
                message = await self.driver.connection.js.get_last_msg(subjects.APPLIED_STREAM, subject)
            except NotFoundError:
                return None
            report = AppliedReport.model_validate_json(message.data or b"")
            delays = [c.after_ms for c in report.changes if c.revision == logged.sequence]
            return logged.event.time_ms + delays[0] if delays else None

        return await eventually(look, f"{region} has applied {logged.sequence}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with staged(tmp_path_factory.mktemp("guardrails")) as ready:
        yield ready


async def test_a_firing_alert_rolls_the_release_back_in_every_region(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    await stage.release("by_alert", BY_ALERT)
    await stage.reaches("by_alert", REGIONS)

    crossed_ms = now_ms()
    stage.traffic.fail(FAILING, 0.5)
    logged = await stage.rolled_back("by_alert")
    reverted_ms = await stage.reverted_ms(logged)
    stage.traffic.fail(FAILING, 0)

    await stage.reaches("by_alert", ())
    alert = logged.event.alert
    assert (alert["source"], alert["name"]) == ("alertmanager", "ErrorRatioHigh")
    assert alert["labels"]["region"] == FAILING
    message = await stage.driver.connection.js.get_msg(subjects.ALERTS_STREAM, alert["sequence"])
    assert message.time
    _record_times(
        record_property,
        "Prometheus and Alertmanager, until our webhook was called,",
        crossed_ms,
        message.time.timestamp() * 1_000,
        reverted_ms,
    )


async def test_a_guardrail_that_fails_in_one_region_rolls_the_release_back_in_every_region(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    trigger = await stage.release("by_query", BY_QUERY)
    await stage.reaches("by_query", REGIONS)

    crossed_ms = now_ms()
    stage.traffic.fail(FAILING, 0.5)
    logged = await stage.rolled_back("by_query")
    reverted_ms = await stage.reverted_ms(logged)
    stage.traffic.fail(FAILING, 0)

    await stage.reaches("by_query", ())
    evidence = logged.event.guardrail
    assert (evidence["name"], evidence["region"], evidence["verdict"]) == (GUARDRAIL_NAME, FAILING, "failed")
    assert f'region="{FAILING}"' in evidence["query"]
    assert evidence["value"] > 0.05
    round_ = await stage.last_round(trigger)
    assert round_
    assert round_.verdict is Verdict.FAILED
    _record_times(
        record_property,
        "Prometheus, until the guardrail's round that saw it,",
        crossed_ms,
        round_.time_ms,
        reverted_ms,
    )


async def test_a_prometheus_killed_in_mid_bake_holds_the_release_until_it_is_back(stage: Stage) -> None:
    trigger = await stage.release("in_the_dark", IN_THE_DARK)
    await eventually(partial(_is_passing, stage, trigger), "the guardrail passes")

    stage.prometheus.kill()
    killed_ms = now_ms()

    held = await eventually(partial(_held, stage, trigger), "the phase is held, and the guardrail lost")
    assert held.status is TriggerStatus.IN_PROGRESS
    assert held.due_ms
    assert killed_ms < held.due_ms
    assert held.held == (
        f"guardrail errors of phase {FAILING}: too many errors in a row in region {FAILING}"
        " (Prometheus cannot be reached)",
    )
    assert await stage.regions_with("in_the_dark") == {"dev", "staging", FAILING}

    stage.prometheus.start()

    ended = await eventually(partial(_ended, stage, trigger), "the release goes on to its end", BACK_SECONDS)
    assert ended.status is TriggerStatus.COMPLETED
    await stage.reaches("in_the_dark", REGIONS)


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """Start Prometheus, the system, and an Alertmanager that sends to the monitor."""
    traffic, alerts_port = Traffic(REGIONS), free_port()
    async with AsyncExitStack() as stack:
        port = stack.enter_context(exported(traffic))
        watcher = stack.enter_context(
            prometheus(folder, target_port=port, alertmanager_port=alerts_port, rules=[RULE])
        )
        system = await stack.enter_async_context(
            local_system(
                folder / "system",
                "--no-catalogue",
                SLUICEWAY_PROMETHEUS_URL=watcher.url,
                SLUICEWAY_ALERTMANAGER_TOKEN=TOKEN,
            )
        )
        webhook = f"{system.processes()['monitor']['http']}/alertmanager"
        stack.enter_context(alertmanager(folder, port=alerts_port, webhook=webhook, token=TOKEN))
        driver = await stack.enter_async_context(driving(system.nats_url))
        await apply_catalogue(driver)
        for plan in (BY_ALERT, BY_QUERY, IN_THE_DARK):
            await driver.accepted(SavePipeline, pipeline=plan)
        edges = {name: await _edge(stack, system, driver, name) for name in REGIONS}
        await watcher.ready()
        yield Stage(traffic, watcher, driver, edges)


async def _edge(
    stack: AsyncExitStack, system: LocalSystem, driver: Driver, region: str
) -> httpx2.AsyncClient:
    """Return a client of a region's edge, once the edge is ready."""
    key = await create_key(driver, region=region)

    def address() -> str | None:
        return system.processes().get(f"edge-{region}", {}).get("http")

    url = await eventually(address, f"{region} has an edge")
    http = http_client(base_url=url, headers={"x-api-key": key}, trust_env=False)
    await stack.enter_async_context(http)

    async def is_ready() -> bool:
        return (await http.get("/readyz")).is_success

    await eventually(is_ready, f"the edge of {region} is ready")
    return http


async def _passes(edge: httpx2.AsyncClient, gate: str) -> bool:
    answer = await edge.post(f"/ofrep/v1/evaluate/flags/{gate}", json={"context": {"targetingKey": "ada"}})
    if answer.status_code == httpx2.codes.NOT_FOUND:  # the edge does not have it yet
        return False
    return bool(answer.raise_for_status().json()["value"])


async def _is_passing(stage: Stage, trigger: str) -> bool:
    round_ = await stage.last_round(trigger)
    return round_ is not None and round_.verdict is Verdict.PASSING


async def _held(stage: Stage, trigger: str) -> Trigger | None:
    """Return the trigger once it is held by a lost guardrail, or has ended."""
    found = await stage.driver.trigger(trigger)
    is_lost = any("too many errors" in hold for hold in found.held)
    return found if is_lost or not found.status.is_active else None


async def _ended(stage: Stage, trigger: str) -> Trigger | None:
    found = await stage.driver.trigger(trigger)
    return None if found.status.is_active else found


def _record_times(
    record_property: Callable[[str, object], None],
    source: str,
    crossed_ms: int,
    detected_ms: float,
    reverted_ms: float,
) -> None:
    """Report the time of the observability tools and our own, which begins at `detected_ms`."""
    theirs, ours = (detected_ms - crossed_ms) / 1_000, (reverted_ms - detected_ms) / 1_000
    record_property(
        "figure",
        f"crossing → all {len(REGIONS)} regions reverted: {theirs + ours:.3f} s,"
        f" of which {source} {theirs:.3f} s, ours {ours:.3f} s",
    )
    assert theirs > 0
    assert 0 < ours < OURS_SECONDS
