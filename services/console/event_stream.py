"""What happens, told to everybody who listens: each event is encoded once, however many hear it.

- `feature`: an event of FEATURES; its id is the sequence there, from which a listener may resume
- `catalogue`: a document was written or deleted
- `region`: rules or reports of a region changed; several together
- `verdict`: guardrails of a release were measured, or say something else; several together
- `reset`: too much happened meanwhile to tell it all; look anew
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sluiceway.contracts import subjects
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, feature_of
from sluiceway.errors import Rejected
from sluiceway.messaging.catalogue_store import StoredDocument
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.messaging.stream_follower import Follower, Record

from . import metrics

#: Events that may wait for one listener; who is slower is cut off, and resumes.
WAITING_MAX = 1_000
#: What comes together within this time is told together.
TOGETHER_SECONDS = 0.2
#: Features named in one event; of more, none: it may be about any.
NAMED_MAX = 100
#: After this silence a listener hears that the stream still lives.
SILENCE_MAX_SECONDS = 15.0

STILL_HERE = b": still here\n\n"
RESET = b"event: reset\ndata: {}\n\n"


class EventListener:
    """Somebody's queue: encoded events, and a wake-up (empty) where its right to listen may be gone."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING_MAX + 1)

    def take(self, event: bytes) -> None:
        """Queue an event; too many end the queue."""
        if self._waiting.qsize() < WAITING_MAX:
            self._waiting.put_nowait(event)
        else:
            self.end()

    def end(self) -> None:
        """Let the stream end behind what waits already."""
        if not self._waiting.full():
            self._waiting.put_nowait(None)

    async def events(self, may_listen: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Give each event, and a sign of life in silence, for as long as somebody may listen."""
        while may_listen():
            try:
                async with asyncio.timeout(SILENCE_MAX_SECONDS):
                    event = await self._waiting.get()
            except TimeoutError:
                event = STILL_HERE
            if event is None:
                return
            yield event


class EventStream:
    """Hears what the console follows, and tells it to listeners.

    Follows VERDICTS and MEASUREMENTS itself while the block runs.
    """

    def __init__(self, connection: Connection) -> None:
        self._listeners: set[EventListener] = set()
        self._regions: dict[str, set[str]] = defaultdict(set)
        self._measured: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._follower = Follower(
            connection, subjects.VERDICTS_STREAM, [subjects.VERDICTS], self._take_verdict
        )
        self._rounds = Follower(
            connection, subjects.MEASUREMENTS_STREAM, [subjects.MEASUREMENTS], self._take_round
        )

    async def __aenter__(self) -> "EventStream":
        await self._follower.__aenter__()
        await self._rounds.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        """End every listener's stream, so that the server can stop."""
        for listener in self._listeners:
            listener.end()
        await self._rounds.__aexit__(*details)
        await self._follower.__aexit__(*details)
        if self._timer:
            self._timer.cancel()

    @contextmanager
    def listening(self) -> Iterator[EventListener]:
        """Give a listener that hears all from now on, while the block runs."""
        listener = EventListener()
        self._listeners.add(listener)
        try:
            with metrics.EVENT_STREAMS.track_inprogress():
                yield listener
        finally:
            self._listeners.discard(listener)

    def take_feature(self, entry: FeatureEntry) -> None:
        """Tell an event of a feature."""
        if not self._listeners:
            return
        try:
            event = entry.event
        except Rejected:  # told and kept by whoever follows the log
            return
        self._tell(feature_event(event, entry.sequence))

    def take_document(self, kind: str, id_: str, stored: StoredDocument | None) -> None:
        """Tell a change of the catalogue; a key's change may end a stream."""
        self._tell(encode_event("catalogue", {"kind": kind, "id": id_, "deleted": stored is None}))

    def take_region(self, region: str, features: tuple[FeatureKey, ...]) -> None:
        """Tell that a region received, or has applied, rules of these features."""
        self._regions[region].update(map(str, features))
        self._soon()

    def _take_verdict(self, record: Record) -> None:
        self._measured.add(record.subject.removeprefix(subjects.verdicts("")))
        self._soon()

    def _take_round(self, record: Record) -> None:
        self._measured.add(subjects.parse_measured_trigger(record.subject))
        self._soon()

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._tell_together)

    def _tell_together(self) -> None:
        self._timer = None
        for region, features in self._regions.items():
            named = sorted(features) if len(features) <= NAMED_MAX else None
            self._tell(encode_event("region", {"name": region, "features": named}))
        for trigger in sorted(self._measured):
            self._tell(encode_event("verdict", {"trigger": trigger, "feature": str(feature_of(trigger))}))
        self._regions.clear()
        self._measured.clear()

    def _tell(self, event: bytes) -> None:
        for listener in self._listeners:
            listener.take(event)


def feature_event(event: FeatureEvent, sequence: int) -> bytes:
    """Return an event of FEATURES as listeners hear it."""
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
    return encode_event("feature", data, sequence)


def encode_event(name: str, data: dict[str, Any], id_: int | None = None) -> bytes:
    """Return one server-sent event.

    Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    head = "" if id_ is None else f"id: {id_}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
