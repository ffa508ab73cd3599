"""Measuring and acting in one monitor: next to another replica, after one that died, and unasked."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import pytest

from services.monitor import due_phases
from services.monitor.active_guardrails import ActiveGuardrails
from services.monitor.app import run_guardrails
from services.monitor.clearance_responder import ClearanceResponder
from services.monitor.guardrail_actions import GuardrailActions
from services.monitor.guardrail_runner import GuardrailRunner, QueryPrometheus
from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import Command, SaveFeature
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.measurements import ClearanceRequest, Judgement, Measurement
from sluiceway.contracts.replies import Reply
from sluiceway.errors import Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore, MeasurementView
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, round_of
from sluiceway.pipelines.measurement import QueryResult
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

CHECKOUT = FeatureKey(FeatureKind.GATE, "checkout")
TRIGGER = "gate.checkout.1"
ERRORS = {"name": "errors", "query": "errors", "failureCondition": "> 0.02"}
#: A value between 0.01 and 0.02 is neither a success nor a failure.
UNDECIDED = {"successCondition": "< 0.01", "interval": "1h"}
LONG_MS = 3_600_000
BAKE_MS = 1_000


class MonitoredRelease(NamedTuple):
    """A release with one guardrail, and the views of a monitor. The scheduler's questions go unanswered."""

    driver: Driver
    features: FeatureView
    measurements: MeasurementView
    guardrails: ActiveGuardrails
    store: MeasurementStore

    @property
    def active(self) -> ActiveGuardrail:
        (active,) = self.guardrails.of_feature(CHECKOUT)
        return active

    @asynccontextmanager
    async def measuring(
        self, query: QueryPrometheus, commands: CommandClient | None = None
    ) -> AsyncIterator[None]:
        """Run what measures and acts in a monitor."""
        views = (self.features, self.measurements, self.guardrails)
        actions = GuardrailActions(commands or self.driver.commands, self.store, None)
        runner = GuardrailRunner(*views[1:], self.store, query, actions, now_ms, workers=1)
        due = due_phases.DuePhases(*views, actions, now_ms, workers=1)
        async with AsyncExitStack() as stack:
            await run_guardrails(self.features, runner, due, stack)
            yield

    async def measured_elsewhere(self, judgement: Judgement = Judgement.SUCCESS) -> None:
        """Store the round of another replica."""
        measurement = Measurement(region="*", query="errors", judgement=judgement, value=0.0, why="0")
        tail = self.measurements.last_sequence(*self.active.key)
        await self.store.store_round(round_of(self.active, None, [measurement], now_ms()), tail)
        await self.measurements.catch_up()


@asynccontextmanager
async def monitored(
    broker: Broker, *, bake_ms: int = LONG_MS, **guardrail: Any
) -> AsyncIterator[MonitoredRelease]:
    async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
        errors = {**ERRORS, "interval": "100ms", **guardrail}
        await apply_catalogue(driver, phase("dev", bake_ms=bake_ms, guardrails=[errors]))
        document = {"kind": "FeatureGate", "name": "checkout", "rules": [EVERYONE]}
        await driver.accepted(SaveFeature, feature={**document, "releasePipelineID": PIPELINE})
        connection = driver.connection
        async with (
            FeatureView(connection, driver.log) as features,
            CatalogueView(connection) as catalogue,
            MeasurementView(connection) as measurements,
        ):
            for view in (features, catalogue, measurements):
                await view.catch_up()
            guardrails = ActiveGuardrails(features, catalogue, measurements, now_ms)
            store = MeasurementStore(connection, "/tests")
            yield MonitoredRelease(driver, features, measurements, guardrails, store)


def answering(value: float) -> QueryPrometheus:
    async def query(query: str, *, not_before_ms: int, timeout_seconds: float) -> QueryResult:
        return QueryResult((value,))

    return query


async def never_asked(query: str, *, not_before_ms: int, timeout_seconds: float) -> QueryResult:
    raise AssertionError("nothing is to be measured")


class FailingTwice(CommandClient):
    """Reaches no scheduler with the first two commands."""

    sent: list[Command]

    async def send(self, command: Command) -> Reply:
        self.sent.append(command)
        if len(self.sent) < 3:
            raise Unavailable("no scheduler answers")
        return await super().send(command)


def failing_twice(system: MonitoredRelease) -> FailingTwice:
    commands = FailingTwice(system.driver.connection)
    commands.sent = []
    return commands


async def test_no_round_of_another_replica_is_lost_in_the_counts(broker: Broker) -> None:
    async with monitored(broker) as system:
        queries = 0

        async def while_another_measures(
            query: str, *, not_before_ms: int, timeout_seconds: float
        ) -> QueryResult:
            nonlocal queries
            queries += 1
            if queries == 1:
                await system.measured_elsewhere()
            return QueryResult((0.0,))

        async with system.measuring(while_another_measures):
            await eventually(lambda: queries > 3, "it goes on")

        rounds = await system.store.rounds(TRIGGER)
        counts = [round_.tallies["*"].successes for round_ in rounds]
        assert counts == list(range(1, len(counts) + 1))


async def test_an_invalid_round_keeps_no_monitor_from_measuring(broker: Broker) -> None:
    async with monitored(broker) as system:
        for place in ("x", "gate.checkout", "no.such.1.dev.errors", "gate.checkout.1.dev.errors"):
            await system.driver.connection.js.publish(f"{subjects.PREFIX}.measurements.{place}", b"{")
        await system.measurements.catch_up()

        async with system.measuring(answering(0.0)):
            await eventually(lambda: system.guardrails.last_round(system.active), "it is measured")


async def test_the_action_of_a_failure_is_tried_again_before_the_interval_is_over(broker: Broker) -> None:
    async with monitored(broker, interval="1h") as system:
        commands = failing_twice(system)

        async with system.measuring(answering(1.0), commands):
            await system.driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)

        assert len({command.id for command in commands.sent}) == 1
        assert len(await system.store.rounds(TRIGGER)) == 1


async def test_a_failure_that_a_dead_monitor_did_not_act_on_is_acted_on_by_the_next(broker: Broker) -> None:
    async with monitored(broker, interval="1h") as system:
        await system.measured_elsewhere(Judgement.FAILURE)

        async with system.measuring(never_asked):
            await system.driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)


@pytest.mark.parametrize(
    ("action", "status"), [("rollback", TriggerStatus.ROLLED_BACK), ("pause", TriggerStatus.PAUSED)]
)
async def test_an_inconclusive_guardrail_acts_when_its_phase_is_due_though_nobody_asks(
    broker: Broker, action: str, status: TriggerStatus
) -> None:
    async with monitored(broker, bake_ms=BAKE_MS, onInconclusive=action, **UNDECIDED) as system:
        due_ms = (await system.driver.trigger(TRIGGER)).due_ms
        assert due_ms

        async with system.measuring(answering(0.015)):
            ended = await system.driver.reaches(TRIGGER, status)

        assert ended.actions[-1].actor_id == "monitor"
        assert due_ms <= ended.actions[-1].time_ms < due_ms + LONG_MS
        assert len(await system.store.rounds(TRIGGER)) == 1


async def test_a_phase_that_was_due_before_the_monitor_started_is_acted_on_at_its_start(
    broker: Broker,
) -> None:
    async with monitored(broker, bake_ms=0, onInconclusive="rollback", **UNDECIDED) as system:
        await system.measured_elsewhere(Judgement.INCONCLUSIVE)
        await _held(system)

        async with system.measuring(never_asked):
            await system.driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)


async def test_each_measurement_of_a_due_phase_is_acted_on(broker: Broker) -> None:
    undecided = {**UNDECIDED, "interval": "100ms"}
    async with monitored(broker, bake_ms=0, onInconclusive="rollback", **undecided) as system:
        value = 0.0

        async def query(query: str, *, not_before_ms: int, timeout_seconds: float) -> QueryResult:
            return QueryResult((value,))

        async with system.measuring(query):
            await _held(system)
            await eventually(lambda: system.guardrails.last_round(system.active), "it passes")
            value = 0.015
            await system.driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)


async def test_the_action_of_a_due_phase_is_tried_again_until_it_is_answered(broker: Broker) -> None:
    async with monitored(broker, bake_ms=BAKE_MS, onInconclusive="rollback", **UNDECIDED) as system:
        await system.measured_elsewhere(Judgement.INCONCLUSIVE)
        commands = failing_twice(system)

        async with system.measuring(never_asked, commands):
            await system.driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)

        assert len({command.id for command in commands.sent}) == 1


async def test_replicas_act_on_a_due_phase_once(broker: Broker) -> None:
    async with monitored(broker, bake_ms=0, onInconclusive="rollback", **UNDECIDED) as system:
        await system.measured_elsewhere(Judgement.INCONCLUSIVE)

        async with system.measuring(never_asked), system.measuring(never_asked):
            await system.driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)
            verdicts = await eventually(lambda: system.store.verdicts(TRIGGER), "it is recorded")

        assert [verdict.action for verdict in verdicts] == ["rollback"]
        history = [logged.event.type for logged in await system.driver.history("checkout")]
        assert history.count(EventType.TRIGGER_ROLLED_BACK) == 1


async def test_a_measurement_of_a_due_phase_that_a_dead_monitor_did_not_act_on_is_acted_on(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_phases, "RECHECK_MS", 100)
    async with monitored(broker, bake_ms=0, onInconclusive="rollback", **UNDECIDED) as system:
        await system.measured_elsewhere(Judgement.SUCCESS)
        async with system.measuring(never_asked):
            await _held(system)

            await system.measured_elsewhere(Judgement.INCONCLUSIVE)

            await system.driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)


async def test_clearance_is_answered_without_a_command(broker: Broker) -> None:
    async with monitored(broker, bake_ms=0, onInconclusive="rollback", **UNDECIDED) as system:
        await system.measured_elsewhere(Judgement.INCONCLUSIVE)
        held = await _held(system)
        entry = system.features.get(CHECKOUT)
        assert entry
        commands = await system.driver.connection.client.subscribe(subjects.COMMANDS)
        responder = ClearanceResponder(system.features, system.measurements, system.guardrails, now_ms)
        request = ClearanceRequest(
            trigger=TRIGGER, phase_id=held.current_run.phase.id, revision=entry.sequence
        )

        clearance = await responder.clear(request)

        await system.driver.connection.client.flush()
        assert clearance.holds == ("guardrail errors of phase dev: it is inconclusive",)
        assert commands.pending_msgs == 0
        assert (await system.driver.trigger(TRIGGER)).status is TriggerStatus.IN_PROGRESS
        await commands.unsubscribe()


async def _held(system: MonitoredRelease) -> Trigger:
    """Return the release once it is held: its phase is due, and no monitor answers the scheduler."""

    async def look() -> Trigger | None:
        trigger = await system.driver.trigger(TRIGGER)
        return trigger if trigger.held else None

    held = await eventually(look, "the phase is held")
    await system.features.catch_up()
    return held
