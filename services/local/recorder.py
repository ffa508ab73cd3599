"""Records the events of all releases, and when each region applied them."""

from contextlib import AsyncExitStack
from typing import Any, Self

from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import parse_report
from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identifiers import FeatureKey, feature_of
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_records import Record

from .demo_record import RecordedAlert, RecordedEvent, RecordedRelease


class Recorder:
    """Records every event of every release, and how long each region took to apply it."""

    def __init__(self, connection: Connection) -> None:
        self._features = FeatureView(connection, FeatureLog(connection, "/sluiceway/demo"))
        self._features.on_change = self._on_event
        self._applied = Follower(connection, subjects.APPLIED_STREAM, [subjects.APPLIED], self._on_report)
        self._entries: dict[str, list[FeatureEntry]] = {}
        #: feature → revision → region → milliseconds.
        self._applied_ms: dict[FeatureKey, dict[int, dict[str, float]]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._features)
        await self._stack.enter_async_context(self._applied)
        await self._features.caught_up()
        return self

    async def __aexit__(self, *details: Any) -> None:
        await self._stack.aclose()

    def trigger(self, trigger_id: str) -> Trigger | None:
        """Return the newest state of a release."""
        entries = self._entries.get(trigger_id)
        return entries[-1].event.feature.trigger if entries else None

    def release(self, trigger_id: str, alert: RecordedAlert | None = None) -> RecordedRelease:
        """Return what has been recorded of a release so far."""
        events = (self._event(trigger_id, entry) for entry in self._entries[trigger_id])
        return RecordedRelease(trigger_id, tuple(events), alert)

    def _event(self, trigger_id: str, entry: FeatureEntry) -> RecordedEvent:
        event = entry.event
        trigger = event.feature.trigger
        assert trigger
        applied = self._applied_ms.get(feature_of(trigger_id), {}).get(entry.sequence, {})
        phase = trigger.current_run.phase.id
        return RecordedEvent(
            event.type, event.time_ms, trigger.status, phase, event.actor_id, event.reason, dict(applied)
        )

    def _on_event(self, entry: FeatureEntry) -> None:
        if trigger := entry.event.feature.trigger:
            self._entries.setdefault(trigger.id, []).append(entry)

    def _on_report(self, record: Record) -> None:
        report = parse_report(record.subject, record.data)
        for change in report.changes:
            revisions = self._applied_ms.setdefault(FeatureKey(change.kind, change.name), {})
            revisions.setdefault(change.revision, {}).setdefault(report.region, change.after_ms)
