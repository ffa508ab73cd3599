"""Server-sent events of everything that happens. Each live event is encoded once for all listeners.

- `feature`: an event of FEATURES; its id is the sequence there, from which a listener may resume
- `catalogue`: a document was written or deleted
- `region`: rules or reports of a region changed; batched
- `verdict`: a guardrail of a release was measured, or has a new verdict; batched
- `reset`: more has happened than can be replayed; fetch everything again
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from sluiceway.contracts import subjects
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, feature_of
from sluiceway.errors import Rejected
from sluiceway.http.server_sent_events import encode_comment, encode_event
from sluiceway.messaging.catalogue_store import StoredDocument
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_records import Record

from . import metrics

#: Events queued for one listener. A slower listener is disconnected, and may resume.
QUEUE_MAX = 1_000
#: Changes of regions and guardrails within this time are batched.
BATCH_SECONDS = 0.2
#: Features named in one event. If there are more, none is named: the event may be about any.
NAMED_FEATURES_MAX = 100
#: A silent stream gets a comment this often, so that proxies keep the connection.
KEEP_ALIVE_SECONDS = 15.0

KEEP_ALIVE = encode_comment("keep-alive")
RESET = encode_event("reset", {})


class EventListener:
    """The queue of one client: encoded events, and None at its end."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MAX + 1)

    def put(self, event: bytes) -> None:
        """Queue an event; end the queue if it is full."""
        if self._queue.qsize() < QUEUE_MAX:
            self._queue.put_nowait(event)
        else:
            self.end()

    def end(self) -> None:
        """End the stream after the events that are queued already."""
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def events(self, may_listen: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield each event, and comments in silence, as long as the client may listen."""
        while may_listen():
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    event = await self._queue.get()
            except TimeoutError:
                event = KEEP_ALIVE
            if event is None or not may_listen():
                return
            yield event


class EventStream:
    """Publishes changes of the console's views to all listeners.

    Follows VERDICTS and MEASUREMENTS itself while the block runs.
    """

    def __init__(self, connection: Connection) -> None:
        self._listeners: set[EventListener] = set()
        #: What the next batch names: features by region, and triggers.
        self._changed_regions: dict[str, set[str]] = defaultdict(set)
        self._measured_triggers: set[str] = set()
        self._batch_timer: asyncio.TimerHandle | None = None
        self._verdicts = Follower(
            connection, subjects.VERDICTS_STREAM, [subjects.VERDICTS], self._handle_verdict
        )
        self._measurements = Follower(
            connection, subjects.MEASUREMENTS_STREAM, [subjects.MEASUREMENTS], self._handle_measurement
        )

    async def __aenter__(self) -> "EventStream":
        await self._verdicts.__aenter__()
        await self._measurements.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        """End all streams, so that the server can stop."""
        for listener in self._listeners:
            listener.end()
        await self._measurements.__aexit__(*details)
        await self._verdicts.__aexit__(*details)
        if self._batch_timer:
            self._batch_timer.cancel()

    @contextmanager
    def listening(self) -> Iterator[EventListener]:
        """Yield a listener that receives all events while the block runs."""
        listener = EventListener()
        self._listeners.add(listener)
        try:
            with metrics.EVENT_STREAMS.track_inprogress():
                yield listener
        finally:
            self._listeners.discard(listener)

    def publish_feature(self, entry: FeatureEntry) -> None:
        """Publish an event of a feature."""
        if not self._listeners:
            return
        try:
            event = entry.event
        except Rejected:  # the view has logged it and put it among the dead letters
            return
        self._publish(feature_event(event, entry.sequence))

    def publish_reset(self) -> None:
        """Publish that the log went back: whatever was read of it may be void."""
        self._publish(RESET)

    def check_listeners(self) -> None:
        """Wake all listeners, so that those who may not listen any more get no further event."""
        self._publish(KEEP_ALIVE)

    def publish_document(self, kind: str, id_: str, stored: StoredDocument | None) -> None:
        """Publish a change of the catalogue. It wakes all listeners, so a revoked key ends its streams."""
        self._publish(encode_event("catalogue", {"kind": kind, "id": id_, "deleted": stored is None}))

    def publish_region(self, region: str, features: tuple[FeatureKey, ...]) -> None:
        """Publish, in the next batch, that a region received or applied rules of these features."""
        self._changed_regions[region].update(map(str, features))
        self._schedule_batch()

    def _handle_verdict(self, record: Record) -> None:
        self._measured_triggers.add(record.subject.removeprefix(subjects.verdicts("")))
        self._schedule_batch()

    def _handle_measurement(self, record: Record) -> None:
        self._measured_triggers.add(subjects.parse_measured_trigger(record.subject))
        self._schedule_batch()

    def _schedule_batch(self) -> None:
        if self._batch_timer is None:
            self._batch_timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._publish_batch)

    def _publish_batch(self) -> None:
        self._batch_timer = None
        for region, features in self._changed_regions.items():
            named = sorted(features) if len(features) <= NAMED_FEATURES_MAX else None
            self._publish(encode_event("region", {"name": region, "features": named}))
        for trigger in sorted(self._measured_triggers):
            feature = str(feature_of(trigger))
            self._publish(encode_event("verdict", {"trigger": trigger, "feature": feature}))
        self._changed_regions.clear()
        self._measured_triggers.clear()

    def _publish(self, event: bytes) -> None:
        for listener in self._listeners:
            listener.put(event)


def feature_event(event: FeatureEvent, sequence: int) -> bytes:
    """Return an event of FEATURES as a server-sent event."""
    trigger = event.feature.trigger
    data = {
        "feature": str(event.feature.key),
        "type": event.type,
        "actorID": event.actor_id,
        "reason": event.reason,
        "phaseID": event.phase_id,
        "trigger": trigger.id if trigger else None,
        "status": trigger.status if trigger else None,
        "timeMs": event.time_ms,
        "revision": sequence,
    }
    return encode_event("feature", data, f"{sequence}-{event.time_ms}")
