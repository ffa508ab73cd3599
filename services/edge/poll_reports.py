"""What official SDKs have applied, as their polls show; reported in the same way as by our own clients.

A client chooses the name of its process, so a report is stored under the id of the key as well: no key can
report for the processes of another one, nor for an edge.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from typing import NamedTuple

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.identifiers import slug
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.publishing import StreamPublisher
from sluiceway.messaging.stream_records import Position
from sluiceway.repeated_logs import RepeatedLogs

log = logging.getLogger(__name__)

#: A report is repeated after this time, well before the broker removes it.
REPORT_AGAIN_SECONDS = 20.0
#: A process that is silent for so long has no report any more, and leaves its place to another.
GONE_SECONDS = 60.0
RETRY_SECONDS = 0.5
#: SDK processes that are reported, of all keys and of one. Further ones are served, but not reported.
SESSIONS_MAX = 10_000
SESSIONS_PER_KEY_MAX = 2_500
#: Characters of a process's own name in its report.
SESSION_LENGTH_MAX = 64
#: Ids of keys are shorter than this, unless somebody has made them up; then a digest stands for the id.
KEY_ID_LENGTH_MAX = 31
#: What the names of all these reports begin with.
PREFIX = "sdk"


class _Report(NamedTuple):
    position: Position
    at: float


class _Sessions:
    """The processes of one key, the one that was silent for longest first."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, _Report] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def last(self, instance: str) -> _Report | None:
        return self._last.get(instance)

    def record(self, instance: str, report: _Report) -> None:
        self._last[instance] = report
        self._last.move_to_end(instance)

    def forget_gone(self, now: float) -> int:
        """Forget the processes that are gone, and return how many there were."""
        before = len(self._last)
        while self._last and now - next(iter(self._last.values())).at >= GONE_SECONDS:
            self._last.popitem(last=False)
        return before - len(self._last)


class PollReports:
    """Collects what each SDK process has applied, and publishes it to APPLIED."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._repeated = RepeatedLogs(log)
        self._by_key: dict[str, _Sessions] = {}
        self._known = 0
        self._due: dict[str, Position] = {}
        self._has_due = asyncio.Event()

    def add(self, key_id: str, session: str, position: Position) -> None:
        """Record that a process, which polls with a key, has applied everything up to a position in RULES."""
        name = slug(session[:SESSION_LENGTH_MAX])
        if not name:
            return
        instance = f"{PREFIX}-{_short(key_id)}-{name}"
        now = time.monotonic()
        sessions = self._by_key.get(key_id) or _Sessions()
        last = sessions.last(instance)
        if last and last.position == position and now - last.at < REPORT_AGAIN_SECONDS:
            return
        if last is None and not self._has_place(sessions, now):
            return
        self._known += last is None
        self._by_key[key_id] = sessions
        sessions.record(instance, _Report(position, now))
        self._due[instance] = position
        self._has_due.set()

    def _has_place(self, sessions: _Sessions, now: float) -> bool:
        """Return whether another process may be remembered; those that are gone leave their places."""
        if len(sessions) >= SESSIONS_PER_KEY_MAX:
            self._known -= sessions.forget_gone(now)
        if self._known >= SESSIONS_MAX:
            self._forget_gone(now)
        return len(sessions) < SESSIONS_PER_KEY_MAX and self._known < SESSIONS_MAX

    def _forget_gone(self, now: float) -> None:
        for key_id, sessions in list(self._by_key.items()):
            self._known -= sessions.forget_gone(now)
            if not len(sessions):
                del self._by_key[key_id]

    @property
    def has_due(self) -> bool:
        """Whether a report waits to be published."""
        return bool(self._due)

    async def run(self, connection: Connection) -> None:
        """Publish reports until cancelled."""
        publisher = StreamPublisher(connection, subjects.APPLIED_STREAM)
        while True:
            await self._has_due.wait()
            self._has_due.clear()
            while self._due:
                instance, position = next(iter(self._due.items()))
                if not await self._publish(publisher, instance, position):
                    await asyncio.sleep(RETRY_SECONDS)
                elif self._due.get(instance) == position:
                    del self._due[instance]

    async def _publish(self, publisher: StreamPublisher, instance: str, position: Position) -> bool:
        report = AppliedReport(
            region=self._region,
            instance=instance,
            sequence=position.sequence,
            stored_ms=position.time_ms,
            time_ms=now_ms(),
        )
        try:
            await publisher.publish(subjects.applied(self._region, instance), report.to_json())
        except Unavailable as error:
            self._repeated.info(
                "report", "cannot report the rules that SDKs have applied, trying again: %s", error
            )
            return False
        return True


def _short(key_id: str) -> str:
    """Return the id of a key as a part of a name, which has at most 100 characters."""
    if len(key_id) <= KEY_ID_LENGTH_MAX:
        return key_id
    return hashlib.sha256(key_id.encode()).hexdigest()[:KEY_ID_LENGTH_MAX]
