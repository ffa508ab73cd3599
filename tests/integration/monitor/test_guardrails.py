"""Guardrails on a running system, with a stub of Prometheus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from starlette.requests import Request
from starlette.responses import Response

from sluiceway.contracts.commands import ApprovePhase, PauseTrigger, UnpauseTrigger
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.measurements import EVERYWHERE, Judgement, Round, Verdict
from sluiceway.messaging.measurement_store import MeasurementStore
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.prometheus import StubPrometheus, broken, stub_prometheus
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

LONG_MS = 3_600_000
ERRORS = {
    "name": "errors",
    "query": 'errors{region="{{ region }}"}',
    "failureCondition": "> 0.02",
    "interval": "100ms",
}


class Running(NamedTuple):
    """A system with its Prometheus."""

    driver: Driver
    prometheus: StubPrometheus

    async def release(self, *phases: dict[str, Any], **fields: Any) -> str:
        """Start to release a gate through these phases; return the trigger."""
        await apply_catalogue(self.driver, *phases, **fields)
        await self.driver.save_gate("checkout")
        reply = await self.driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
        assert reply.feature
        assert reply.feature.trigger
        return reply.feature.trigger.id

    async def round(self, trigger: str, phase_id: str, verdict: Verdict | None = None) -> Round:
        """Return the newest round of the guardrail, once there is one, or once it has this verdict."""
        store = MeasurementStore(self.driver.connection, "/tests")

        async def look() -> Round | None:
            rounds = await store.rounds(trigger)
            of_guardrail = [r for r in rounds if (r.phase_id, r.guardrail) == (phase_id, "errors")]
            newest = of_guardrail[-1] if of_guardrail else None
            return newest if newest and verdict in (None, newest.verdict) else None

        return await eventually(look, "it is measured")

    async def held(self, trigger: str, by: str = "") -> Trigger:
        """Return a release once it is held for a reason that says `by`."""

        async def look() -> Trigger | None:
            current = await self.driver.trigger(trigger)
            return current if any(by in reason for reason in current.held) else None

        return await eventually(look, f"{trigger} is held {by}")


@asynccontextmanager
async def running(broker: Broker, *, monitors: int = 1) -> AsyncIterator[Running]:
    async with (
        stub_prometheus() as prometheus,
        services(broker.url, monitors=monitors, prometheus_url=prometheus.url),
        driving(broker.url) as driver,
    ):
        yield Running(driver, prometheus)


async def test_a_release_with_passing_guardrails_goes_on_by_itself(broker: Broker) -> None:
    async with running(broker) as system:
        trigger = await system.release(phase("dev", guardrails=[ERRORS]), phase("prod-eu"))

        await system.driver.reaches(trigger, TriggerStatus.COMPLETED)

        assert set(system.prometheus.queries) == {'errors{region="dev"}'}
        assert (await system.round(trigger, "dev")).verdict is Verdict.PASSING


@pytest.mark.parametrize("monitors", [1, 2])
async def test_the_failure_beyond_the_limit_rolls_back_with_its_reason(broker: Broker, monitors: int) -> None:
    async with running(broker, monitors=monitors) as system:
        system.prometheus.answer = lambda query: 0.05
        trigger = await system.release(
            phase("dev", bake_ms=LONG_MS, guardrails=[{**ERRORS, "failureLimit": 2}])
        )

        ended = await system.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)

        reason = ended.actions[-1].reason or ""
        for part in ("guardrail errors", "dev", "0.05", "> 0.02", 'errors{region="dev"}'):
            assert part in reason
        event = (await system.driver.history("checkout"))[-1].event
        assert event.type is EventType.TRIGGER_ROLLED_BACK
        assert event.guardrail["tally"]["failures"] == 3
        assert event.guardrail["url"].startswith(system.prometheus.url)


async def test_one_bad_region_is_enough(broker: Broker) -> None:
    async with running(broker) as system:
        system.prometheus.answer = lambda query: 0.5 if "us-west" in query else 0.0
        everywhere = {**phase("dev"), "guardrails": [ERRORS], "timeIntervalMs": LONG_MS}
        everywhere["rules"] = [{"name": "all"}]
        trigger = await system.release(everywhere)

        ended = await system.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)

        assert "in region prod-us-west" in (ended.actions[-1].reason or "")


@pytest.mark.parametrize("answer", [None, float("nan"), [1.0, 2.0], broken(500), broken(404)])
async def test_a_missing_value_holds_and_rolls_nothing_back(broker: Broker, answer: Any) -> None:
    async with running(broker) as system:
        system.prometheus.answer = lambda query: answer
        guardrail = {**ERRORS, "consecutiveErrorLimit": 1, "onInconclusive": "hold"}
        trigger = await system.release(phase("dev", guardrails=[guardrail]), phase("prod-eu"))

        held = await system.held(trigger)

        assert "guardrail errors of phase dev" in held.held[0]
        await eventually(lambda: len(system.prometheus.queries) > 4, "it is measured on and on")
        assert (await system.driver.trigger(trigger)).status is TriggerStatus.IN_PROGRESS
        system.prometheus.answer = lambda query: 0.0
        await system.driver.reaches(trigger, TriggerStatus.COMPLETED)


async def test_a_prometheus_that_hangs_holds(broker: Broker) -> None:
    async with running(broker) as system:
        trigger = await system.release(phase("dev", guardrails=[ERRORS], bake_ms=3_000), phase("prod-eu"))
        await system.round(trigger, "dev")
        hangs = asyncio.Event()

        async def hang(request: Request) -> Response:
            await hangs.wait()
            return broken()

        system.prometheus.respond_with(hang)

        await system.held(trigger, by="no answer within 1 s")
        hangs.set()


async def test_a_guardrail_goes_on_while_the_next_phase_waits_for_its_review(broker: Broker) -> None:
    async with running(broker) as system:
        trigger = await system.release(
            phase("dev", guardrails=[ERRORS]), phase("prod-eu", review=True, bake_ms=LONG_MS)
        )
        await system.driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW)

        system.prometheus.answer = lambda query: 1.0

        await system.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)


async def test_a_guardrail_goes_on_while_the_release_is_paused(broker: Broker) -> None:
    async with running(broker) as system:
        trigger = await system.release(phase("dev", bake_ms=LONG_MS, guardrails=[ERRORS]))
        await system.driver.act(PauseTrigger, trigger)

        system.prometheus.answer = lambda query: 1.0

        await system.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)


async def test_a_completed_release_is_observed_and_a_roll_back_restores_what_was_live_before(
    broker: Broker,
) -> None:
    async with running(broker) as system:
        trigger = await system.release(phase("dev", guardrails=[ERRORS]), observeFor="1h")
        await system.driver.reaches(trigger, TriggerStatus.COMPLETED)
        completed = await system.driver.feature("checkout")

        system.prometheus.answer = lambda query: 1.0

        await system.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
        restored = await system.driver.feature("checkout")
        assert completed.base
        assert completed.base.rules
        assert restored.base
        assert restored.base.rules == ()
        assert restored.base.version == completed.base.version + 1


async def test_only_the_newest_phase_is_rolled_back_if_the_pipeline_says_so(broker: Broker) -> None:
    async with running(broker) as system:
        bad = {**ERRORS, "query": 'errors{region="{{ region }}", phase="{{ phase }}"}'}
        system.prometheus.answer = lambda query: 1.0 if "prod-eu" in query else 0.0
        trigger = await system.release(
            phase("dev", guardrails=[bad]),
            phase("prod-eu", bake_ms=LONG_MS, guardrails=[bad]),
            rollbackScope="phase",
        )

        paused = await system.driver.reaches(trigger, TriggerStatus.PAUSED, "prod-eu")

        assert [released.id for released in paused.released] == ["dev"]
        system.prometheus.answer = lambda query: 0.0
        await system.driver.act(UnpauseTrigger, trigger)
        baking = await system.driver.reaches(trigger, TriggerStatus.IN_PROGRESS, "prod-eu")
        assert [released.id for released in baking.released] == ["dev", "prod-eu"]


async def test_a_guardrail_may_pause_and_counts_from_zero_after_the_release_is_unpaused(
    broker: Broker,
) -> None:
    async with running(broker) as system:
        system.prometheus.answer = lambda query: 1.0
        trigger = await system.release(
            phase("dev", bake_ms=LONG_MS, guardrails=[{**ERRORS, "onFailure": "pause"}])
        )
        paused = await system.driver.reaches(trigger, TriggerStatus.PAUSED)
        assert paused.actions[-1].actor_id == "monitor"

        system.prometheus.answer = lambda query: 0.0
        await system.driver.act(UnpauseTrigger, trigger)

        async def passes() -> bool:
            return (await system.round(trigger, "dev")).verdict is Verdict.PASSING

        await eventually(passes, "it has passed since")
        assert (await system.driver.trigger(trigger)).status is TriggerStatus.IN_PROGRESS


async def test_a_pause_also_stops_a_release_that_waits_for_its_review(broker: Broker) -> None:
    async with running(broker) as system:
        trigger = await system.release(
            phase("dev", guardrails=[{**ERRORS, "onFailure": "pause"}]), phase("prod-eu", review=True)
        )
        await system.driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW)

        system.prometheus.answer = lambda query: 1.0

        await system.driver.reaches(trigger, TriggerStatus.PAUSED, "prod-eu")
        system.prometheus.answer = lambda query: 0.0
        before = len(system.prometheus.queries)
        await eventually(
            lambda: len(system.prometheus.queries) > before + 1, "no failing answer is under way"
        )
        await system.driver.act(UnpauseTrigger, trigger)
        await system.driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW, "prod-eu")


async def test_too_few_samples_hold_until_there_are_enough(broker: Broker) -> None:
    async with running(broker) as system:
        samples = {"count": 3.0}
        system.prometheus.answer = lambda query: samples["count"] if query == "requests" else 1.0
        guardrail = {**ERRORS, "minSamples": {"query": "requests", "atLeast": 100}, "onFailure": "notify"}
        trigger = await system.release(phase("dev", guardrails=[guardrail]), phase("prod-eu"))

        await system.held(trigger, by="inconclusive")

        samples["count"] = 100.0
        await system.driver.reaches(trigger, TriggerStatus.COMPLETED)


async def test_a_global_incident_rolls_no_unrelated_change_back(broker: Broker) -> None:
    async with running(broker) as system:
        system.prometheus.answer = lambda query: 0.5
        guardrail = {**ERRORS, "failureCondition": "> 1.5", "baseline": {"compare": "ratio"}}
        trigger = await system.release(
            phase("dev", bake_ms=LONG_MS, guardrails=[guardrail]), phase("prod-eu")
        )
        measured = (await system.round(trigger, "dev", Verdict.PASSING)).measurements[0]
        assert (measured.judgement, measured.value, measured.baseline) == (Judgement.SUCCESS, 1.0, 0.5)

        system.prometheus.answer = lambda query: 5.0 if '"dev"' in query else 0.5

        ended = await system.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
        assert "against a baseline of 0.5" in (ended.actions[-1].reason or "")


async def test_a_query_that_names_no_region_is_sent_once(broker: Broker) -> None:
    async with running(broker) as system:
        guardrail = {**ERRORS, "query": 'errors{regions=~"{{ regions }}", gate="{{ feature }}"}'}
        everywhere = {**phase("dev", guardrails=[guardrail]), "rules": [{"name": "all"}]}
        trigger = await system.release(everywhere)
        await system.driver.reaches(trigger, TriggerStatus.COMPLETED)

        regions = "dev|prod-eu|prod-us-east|prod-us-west|staging"
        assert set(system.prometheus.queries) == {f'errors{{regions=~"{regions}", gate="checkout"}}'}
        measured = (await system.round(trigger, "dev")).measurements
        assert [measurement.region for measurement in measured] == [EVERYWHERE]


async def test_a_dead_monitor_holds_and_a_new_one_goes_on_counting(broker: Broker) -> None:
    async with (
        stub_prometheus() as prometheus,
        services(broker.url, monitors=0),
        driving(broker.url) as driver,
    ):
        system = Running(driver, prometheus)
        prometheus.answer = lambda query: 1.0
        guardrail = {**ERRORS, "failureLimit": 1_000}
        trigger = await system.release(phase("dev", guardrails=[guardrail]), phase("prod-eu", review=True))
        held = await system.held(trigger)
        assert "no monitor is running" in held.held[0]

        async with services(broker.url, schedulers=0, publishers=0, prometheus_url=prometheus.url):
            before = (await system.round(trigger, "dev")).tallies["dev"]
        prometheus.answer = lambda query: 0.0
        async with services(broker.url, schedulers=0, publishers=0, prometheus_url=prometheus.url):
            await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW)

        after = (await system.round(trigger, "dev")).tallies["dev"]
        assert after.failures >= before.failures >= 1
        assert after.successes >= 1


async def test_a_later_phase_waits_for_the_guardrails_of_all_that_are_out(broker: Broker) -> None:
    async with running(broker) as system:
        trigger = await system.release(
            phase("dev", guardrails=[ERRORS]),
            phase("staging", review=True, bake_ms=0),
            phase("prod-eu", bake_ms=LONG_MS),
        )
        await system.driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW)
        system.prometheus.answer = lambda query: None

        async def is_blind() -> bool:
            return (await system.round(trigger, "dev")).verdict is Verdict.BLIND

        await eventually(is_blind, "the last measurement is an error")
        await system.driver.act(ApprovePhase, trigger)

        await system.held(trigger, by="phase dev")


@pytest.mark.parametrize("monitors", [1, 2])
@pytest.mark.parametrize(
    ("action", "status"), [("rollback", TriggerStatus.ROLLED_BACK), ("pause", TriggerStatus.PAUSED)]
)
async def test_an_inconclusive_guardrail_acts_at_the_end_of_the_bake_and_not_before(
    broker: Broker, monitors: int, action: str, status: TriggerStatus
) -> None:
    async with running(broker, monitors=monitors) as system:
        system.prometheus.answer = lambda query: 0.015
        undecided = {**ERRORS, "successCondition": "< 0.01", "onInconclusive": action}
        trigger = await system.release(phase("dev", bake_ms=1_000, guardrails=[undecided]))
        due_ms = (await system.driver.trigger(trigger)).due_ms

        ended = await system.driver.reaches(trigger, status)

        assert due_ms
        assert ended.actions[-1].time_ms >= due_ms
        assert ended.actions[-1].actor_id == "monitor"
        assert "is inconclusive in region dev" in (ended.actions[-1].reason or "")
