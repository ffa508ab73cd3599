"""Builds the monitor and wires its adapters."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from faststream.nats import JStream, NatsBroker, NatsMessage
from prometheus_client import REGISTRY

from sluiceway.clock import Clock, now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.identity import MONITOR
from sluiceway.contracts.measurements import Clearance, ClearanceRequest
from sluiceway.messaging.broker_clock import BrokerClock
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.delivery import connect_broker
from sluiceway.messaging.faststream_broker import ConfiguredBroker
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore, MeasurementView
from sluiceway.messaging.stream_records import DeliveryInfo
from sluiceway.pipelines.measurement import QueryResult
from sluiceway.prometheus import open_prometheus
from sluiceway.service import Service, background_task
from sluiceway.tasks import with_pauses
from sluiceway.telemetry.exposition import prepare_before_scrapes

from . import metrics
from .active_guardrails import LOOKED_AT_MAX, ActiveGuardrails
from .alert_consumer import AlertConsumer, Receive, watch_alert_consumer
from .alert_handler import AlertHandler
from .alert_matcher import AlertMatcher
from .alertmanager import AlertmanagerWebhook
from .clearance_responder import ClearanceResponder, all_held
from .clearance_subscription import Clear, ClearanceSubscription
from .collectors import ReleaseCollector
from .due_phases import DuePhases
from .fair_turns import FairTurns
from .guardrail_actions import GuardrailActions
from .guardrail_runner import GuardrailRunner, QueryPrometheus
from .notifications import notifications
from .receivers import read_receivers
from .settings import Settings
from .watched_releases import WatchedReleases

SOURCE = "/sluiceway/monitor"
#: Alerts that are handled at the same time, and those of one source: the others are never kept waiting by it.
ALERTS_AT_ONCE = 32
ALERTS_OF_SOURCE_AT_ONCE = 4
#: Alerts of a source that wait in this process, and memory of all that wait; the stream keeps the others.
ALERTS_OF_SOURCE_WAITING = 256
ALERTS_WAITING_BYTES = 64 * 1024 * 1024
#: The text must not change while the clocks differ: each new text is a new event.
CLOCK_DIFFERS = "the clock of the monitor's host differs too much from the broker's"


class Monitor(Service):
    """The running monitor."""

    name = "monitor"

    def __init__(self, settings: Settings, host_clock: Clock = now_ms) -> None:
        super().__init__(settings, host_clock)
        self._settings = settings
        token = settings.alertmanager_token
        self._webhook = AlertmanagerWebhook(token.get_secret_value() if token else "")
        self.pages = self._webhook.pages
        self.alert_turns = alert_turns()

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Read every release and its measurements, then measure, accept alerts, and answer schedulers."""
        clock = await self.broker_clock(connection, stack)
        features = FeatureView(connection, FeatureLog(connection, SOURCE))
        catalogue = CatalogueView(connection)
        measurements = MeasurementView(connection)
        watched = WatchedReleases(clock)
        features.on_change, features.on_reset = watched.note, watched.clear
        for name, view in (("log", features), ("catalogue", catalogue), ("measurements", measurements)):
            await self.follow(name, view, stack)
        commands, store = CommandClient(connection, MONITOR), MeasurementStore(connection, SOURCE)
        actions = GuardrailActions(commands, store, self._settings.prometheus_url)
        guardrails = ActiveGuardrails(features, catalogue, measurements, clock)
        catalogue.on_change = guardrails.on_catalogue_change
        workers = self._settings.guardrail_workers
        query = await self._open_prometheus(clock, stack)
        timing = (clock, workers, clock.is_trusted)
        runner = GuardrailRunner(measurements, guardrails, store, query, actions, *timing)
        due_phases = DuePhases(features, measurements, guardrails, actions, *timing)
        await run_guardrails(features, runner, due_phases, stack, watched.note)
        _export(ReleaseCollector(features, watched, guardrails, measurements, clock), stack)
        dead_letters = DeadLetters(connection, self.name)
        responder = ClearanceResponder(features, measurements, guardrails, clock)
        requires_sources = self._settings.require_alert_sources
        matcher = AlertMatcher(features, catalogue, watched, clock, requires_sources=requires_sources)
        alerts = AlertHandler(matcher, commands, store, clock.check)
        clear = _clear_by_trusted_clock(responder.clear, clock)
        await self._take_alerts(alerts.receive, dead_letters, stack)
        await self._answer_schedulers(clear, stack)
        watching = watch_alert_consumer(connection.js)
        await stack.enter_async_context(background_task(watching, "the consumer of alerts"))
        receivers = read_receivers(self._settings.receivers) if self._settings.receivers else ()
        await stack.enter_async_context(notifications(connection, features, receivers, dead_letters))
        self._webhook.open(connection, dead_letters)
        stack.callback(self.alert_turns.close)

    async def _take_alerts(self, receive: Receive, dead_letters: DeadLetters, stack: AsyncExitStack) -> None:
        client = await connect_broker(build_broker(self._settings, receive), stack)
        in_flight = self._settings.alerts_in_flight
        consumer = AlertConsumer(client, receive, dead_letters, self.alert_turns, in_flight)
        await stack.enter_async_context(consumer.running())
        await self.watch_client("alerts", client, stack)

    async def _answer_schedulers(self, clear: Clear, stack: AsyncExitStack) -> None:
        client = await connect_broker(build_clearance_broker(self._settings, clear), stack)
        subscription = ClearanceSubscription(client, clear, self._settings.guardrail_workers)
        await stack.enter_async_context(subscription.running())
        await self.watch_client("clearance", client, stack)

    async def _open_prometheus(self, clock: BrokerClock, stack: AsyncExitStack) -> QueryPrometheus:
        url = self._settings.prometheus_url
        if url is None:
            return _no_prometheus
        token = self._settings.prometheus_token
        client = await stack.enter_async_context(
            open_prometheus(url, clock, token.get_secret_value() if token else None, metrics.record_query)
        )
        return client.query


async def run_guardrails(
    features: FeatureView,
    runner: GuardrailRunner,
    due_phases: DuePhases,
    stack: AsyncExitStack,
    note: Callable[[FeatureEntry], None] = lambda entry: None,
) -> None:
    """Measure and act by every event, old and new, until `stack` is closed. `note` is called before that."""

    def on_change(entry: FeatureEntry) -> None:
        note(entry)
        runner.schedule(entry)
        due_phases.schedule(entry)

    async def run() -> None:
        await asyncio.gather(_schedule_all(features, runner, due_phases), runner.run())

    features.on_change = on_change
    await stack.enter_async_context(background_task(run(), "guardrails"))
    await stack.enter_async_context(background_task(due_phases.run(), "due phases"))


async def _schedule_all(features: FeatureView, runner: GuardrailRunner, due_phases: DuePhases) -> None:
    """Schedule what follows from events from before this process started; each is parsed once for it."""
    async for entry in with_pauses(features, LOOKED_AT_MAX):
        if features.get(entry.key) is entry:  # a newer one was scheduled meanwhile
            runner.schedule(entry)
            due_phases.schedule(entry)


def alert_turns() -> FairTurns:
    """Return the turns of the sources of alerts."""
    return FairTurns(
        ALERTS_AT_ONCE,
        ALERTS_OF_SOURCE_AT_ONCE,
        waiting_of_sender=ALERTS_OF_SOURCE_WAITING,
        waiting_bytes_max=ALERTS_WAITING_BYTES,
    )


def build_broker(settings: Settings, receive: Receive) -> NatsBroker:
    """Return the FastStream broker that declares the subscriber of alerts; `AlertConsumer` runs it."""
    broker = ConfiguredBroker(settings, "monitor-alerts", logger=None)

    @broker.subscriber(
        subjects.ALERTS,
        stream=JStream(subjects.ALERTS_STREAM, declare=False),
        durable=subjects.MONITOR_DURABLE,
        pull_sub=True,
        title="sluiceway.alerts.<source>",
        description="Anyone may publish here that an alert is firing, with its labels.",
    )
    async def receive_alert(alert: Alert, message: NatsMessage) -> None:
        """Roll back what the alert is about."""
        raw = message.raw_message
        delivery = DeliveryInfo.of(raw.reply)
        await receive(alert, raw.subject, delivery.stream_sequence, delivery.time_ms)

    return broker


def build_clearance_broker(settings: Settings, clear: Clear) -> NatsBroker:
    """Return the FastStream broker that declares how schedulers are answered: by `ClearanceSubscription`."""
    broker = ConfiguredBroker(settings, "monitor-clearance", logger=None)

    @broker.subscriber(
        subjects.CLEARANCE,
        queue=subjects.MONITOR_QUEUE,
        title=subjects.CLEARANCE,
        description="Request-reply: may this trigger leave this phase? Without an answer it is held.",
    )
    async def answer(request: ClearanceRequest) -> Clearance:
        """Return what holds a phase."""
        return await clear(request)

    return broker


def _clear_by_trusted_clock(clear: Clear, clock: BrokerClock) -> Clear:
    """Return `clear` for as long as the clock is trusted; after that every phase is held."""

    async def checked(request: ClearanceRequest) -> Clearance:
        if clock.is_trusted():
            return await clear(request)
        return all_held(request, CLOCK_DIFFERS)

    return checked


async def _no_prometheus(query: str, *, not_before_ms: int, timeout_seconds: float) -> QueryResult:
    return QueryResult(error="no Prometheus is configured: set SLUICEWAY_PROMETHEUS_URL")


def _export(collector: ReleaseCollector, stack: AsyncExitStack) -> None:
    REGISTRY.register(collector)
    stack.callback(REGISTRY.unregister, collector)
    stack.callback(prepare_before_scrapes(collector.prepare))
