"""Builds the monitor and wires its adapters."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.js.api import ConsumerConfig

from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.commanding import Commander
from sluiceway.messaging.connection import Connection, connect_options
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.delivery import decoder, redelivering, stop
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.service import Service

from .handlers import Handlers
from .settings import Settings

SOURCE = "/sluiceway/monitor"
ALERT_MAX_BYTES = 64 * 1024
#: An alert that a monitor took with it when it died is delivered again after this time.
ACK_WAIT_SECONDS = 5.0
#: A long fetch would stand still for as long when the broker restarts.
PULL_SECONDS = 1.0

Receive = Callable[[Alert, str, int, int], Awaitable[None]]


class Monitor(Service):
    """The running monitor."""

    name = "monitor"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._settings = settings

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Know every release first, then take alerts."""
        features = FeatureView(connection, FeatureLog(connection, SOURCE))
        catalogue = CatalogueView(connection)
        for name, view in (("log", features), ("catalogue", catalogue)):
            self.missing = {name: "not read to its end yet; is a scheduler running?"}
            await stack.enter_async_context(view)
            await view.caught_up()
        handlers = Handlers(features, catalogue, Commander(connection))
        broker = build_broker(self._settings, handlers.receive, DeadLetters(connection, self.name))
        stack.push_async_callback(stop, broker)
        await broker.start()


def build_broker(settings: Settings, receive: Receive, dead_letters: DeadLetters) -> NatsBroker:
    """Return the FastStream broker with the subscriber of alerts."""
    broker = NatsBroker(
        **connect_options(settings, "monitor-alerts"),
        middlewares=[redelivering(dead_letters)],
        logger=None,
    )

    @broker.subscriber(
        subjects.ALERTS,
        stream=JStream(subjects.ALERTS_STREAM, declare=False),
        durable=subjects.MONITOR_DURABLE,
        pull_sub=PullSub(batch_size=1, timeout=PULL_SECONDS),
        config=ConsumerConfig(ack_wait=ACK_WAIT_SECONDS, max_ack_pending=settings.alerts_in_flight),
        ack_policy=AckPolicy.NACK_ON_ERROR,
        decoder=decoder(Alert, ALERT_MAX_BYTES),
        title="sluiceway.alerts.<source>",
        description="Anyone may publish here that something is firing, with its labels.",
    )
    async def receive_alert(alert: Alert, message: NatsMessage) -> None:
        """Roll back what the alert is about."""
        raw = message.raw_message
        assert raw.metadata
        time_ms = int(raw.metadata.timestamp.timestamp() * 1_000)
        await receive(alert, raw.subject, raw.metadata.sequence.stream, time_ms)

    return broker
