"""Watching beside another replica, at the instants that matter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from services.monitor.guardrail_actions import GuardrailActions
from services.monitor.guardrail_runner import GuardrailRunner, QueryPrometheus
from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import Command, SaveFeature
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.measurements import Judgement, Measurement
from sluiceway.contracts.replies import Reply
from sluiceway.errors import Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore, MeasurementView
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, round_of
from sluiceway.pipelines.measurement import QueryResult
from sluiceway.service import background_task
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

CHECKOUT = FeatureKey(FeatureKind.GATE, "checkout")
ERRORS = {"name": "errors", "query": "errors", "failureCondition": "> 0.02"}
SUCCESS = Measurement(region="*", query="errors", judgement=Judgement.SUCCESS, value=0.0, why="0")


class Watched(NamedTuple):
    """A release with one guardrail, and what a monitor knows."""

    driver: Driver
    features: FeatureView
    catalogue: CatalogueView
    measurements: MeasurementView
    store: MeasurementStore

    def watching(self, ask: QueryPrometheus, commands: CommandClient | None = None) -> GuardrailRunner:
        actions = GuardrailActions(commands or self.driver.commands, self.store, None)
        return GuardrailRunner(
            self.features, self.catalogue, self.measurements, self.store, ask, actions, now_ms, workers=1
        )


@asynccontextmanager
async def watched(broker: Broker, *, interval: str = "100ms") -> AsyncIterator[Watched]:
    async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
        await apply_catalogue(
            driver, phase("dev", bake_ms=3_600_000, guardrails=[{**ERRORS, "interval": interval}])
        )
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
            yield Watched(driver, features, catalogue, measurements, MeasurementStore(connection, "/tests"))


async def test_no_round_of_another_replica_is_lost_in_the_counts(broker: Broker) -> None:
    async with watched(broker) as system:
        asked = 0

        async def while_another_measures(
            query: str, *, not_before_ms: int, timeout_seconds: float
        ) -> QueryResult:
            nonlocal asked
            asked += 1
            if asked == 1:
                await _measure_elsewhere(system, next(iter(watching.active_guardrails(CHECKOUT))))
            return QueryResult((0.0,))

        watching = system.watching(while_another_measures)
        watching.note_all()
        async with background_task(watching.run(), "watching"):
            await eventually(lambda: asked > 3, "it goes on")

        rounds = await system.store.rounds("gate.checkout.1")
        counts = [round_.tallies["*"].successes for round_ in rounds]
        assert counts == list(range(1, len(counts) + 1))


async def test_what_is_no_round_keeps_no_monitor_from_watching(broker: Broker) -> None:
    async with watched(broker) as system:
        for place in ("x", "gate.checkout", "no.such.1.dev.errors", "gate.checkout.1.dev.errors"):
            await system.driver.connection.js.publish(f"{subjects.PREFIX}.measurements.{place}", b"{")
        await system.measurements.catch_up()

        async def ask(query: str, *, not_before_ms: int, timeout_seconds: float) -> QueryResult:
            return QueryResult((0.0,))

        watching = system.watching(ask)
        watching.note_all()
        async with background_task(watching.run(), "watching"):
            await eventually(lambda: watching.last(watching.active_guardrails(CHECKOUT)[0]), "it is measured")


async def test_what_a_failure_asks_for_is_tried_again_before_the_interval_is_over(
    broker: Broker,
) -> None:
    async with watched(broker, interval="1h") as system:
        sent: list[Command] = []

        class Impatient(CommandClient):
            async def send(self, command: Command) -> Reply:
                sent.append(command)
                if len(sent) < 3:
                    raise Unavailable("no scheduler answers")
                return await super().send(command)

        async def ask(query: str, *, not_before_ms: int, timeout_seconds: float) -> QueryResult:
            return QueryResult((1.0,))

        watching = system.watching(ask, Impatient(system.driver.connection))
        watching.note_all()
        async with background_task(watching.run(), "watching"):
            await system.driver.reaches("gate.checkout.1", TriggerStatus.ROLLED_BACK)

        assert len({command.id for command in sent}) == 1
        assert len(await system.store.rounds("gate.checkout.1")) == 1


async def test_what_a_monitor_has_seen_and_not_done_when_it_died_is_done_by_the_next(broker: Broker) -> None:
    async with watched(broker, interval="1h") as system:

        async def ask(query: str, *, not_before_ms: int, timeout_seconds: float) -> QueryResult:
            raise AssertionError("nothing is to be asked")

        failure = SUCCESS.model_copy(update={"judgement": Judgement.FAILURE})
        await _measure_elsewhere(system, system.watching(ask).active_guardrails(CHECKOUT)[0], failure)

        watching = system.watching(ask)
        watching.note_all()
        async with background_task(watching.run(), "watching"):
            await system.driver.reaches("gate.checkout.1", TriggerStatus.ROLLED_BACK)


async def _measure_elsewhere(
    system: Watched, watch: ActiveGuardrail, measured: Measurement = SUCCESS
) -> None:
    await system.store.store_round(round_of(watch, None, [measured], now_ms()), expected=0)
    await system.measurements.catch_up()
