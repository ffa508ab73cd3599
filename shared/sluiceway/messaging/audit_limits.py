"""How many records of AUDIT one source may cause, so that nobody evicts what others did."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cachetools import LRUCache

from ..contracts.audit_records import AuditEvent, AuditType

#: Records of one source that are stored immediately after a rest.
BURST = 20
#: After them, one in this time. A source that goes on causes 53,000 records in a year: about 25 MB.
REFILL_SECONDS = 600.0
#: The same for all that nobody vouches for together: addresses are cheap.
ANONYMOUS_BURST = 300
ANONYMOUS_REFILL_SECONDS = 60.0
ANONYMOUS = "anonymous"
#: Sources remembered. The least recent one is forgotten first, and starts again with a full burst.
SOURCES_MAX = 10_000
#: How long left out records of a source wait until they are counted in one of their own.
SUMMARY_SECONDS = 600.0
#: Sources with left out records that are counted one by one; those of others are counted together.
SUMMARIES_MAX = 1_000
#: What is always stored: only an admin, or this code, causes it.
UNLIMITED = frozenset(
    {AuditType.KEY_CREATED, AuditType.KEY_REVOKED, AuditType.LOST, AuditType.HISTORY_WENT_BACK}
)


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(slots=True)
class _LeftOut:
    event: AuditEvent
    since: float
    count: int = 0


class AuditLimits:
    """Leaves out what one source causes too often, and counts it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: LRUCache[str, _Bucket] = LRUCache(SOURCES_MAX)
        self._anonymous = _Bucket(ANONYMOUS_BURST, clock())
        self._left_out: dict[str, _LeftOut] = {}

    def admits(self, event: AuditEvent) -> bool:
        """Return whether to store an event; otherwise it is counted as left out."""
        if event.type in UNLIMITED:
            return True
        source, now = event.source, self._clock()
        bucket = self._bucket(source or ANONYMOUS, now)
        is_admitted = _takes(bucket, now, BURST, REFILL_SECONDS) if source else True
        if is_admitted and event.actor is None:
            is_admitted = _takes(self._anonymous, now, ANONYMOUS_BURST, ANONYMOUS_REFILL_SECONDS)
        if not is_admitted:
            self._leave_out(source or ANONYMOUS, event, now)
        return is_admitted

    def due_summaries(self, *, all_of_them: bool = False) -> Iterator[AuditEvent]:
        """Yield a record for each source that has had left out records for long enough."""
        now = self._clock()
        for source, left_out in tuple(self._left_out.items()):
            if all_of_them or now - left_out.since >= SUMMARY_SECONDS:
                del self._left_out[source]
                yield left_out.event.model_copy(
                    update={
                        "type": AuditType.SUPPRESSED,
                        "code": None,
                        "about": "",
                        "reason": f"{left_out.count} more suppressed, the last one: {left_out.event.type} "
                        f"{left_out.event.about}",
                        "count": left_out.count,
                    }
                )

    def _bucket(self, source: str, now: float) -> _Bucket:
        if source not in self._buckets:
            self._buckets[source] = _Bucket(BURST, now)
        return self._buckets[source]

    def _leave_out(self, source: str, event: AuditEvent, now: float) -> None:
        # Anonymous sources have one summary together: their number is not bounded by anything else.
        if event.actor is None or len(self._left_out) >= SUMMARIES_MAX:
            source = ANONYMOUS
            event = event.model_copy(update={"actor": None, "account": None, "address": None})
        left_out = self._left_out.setdefault(source, _LeftOut(event, now))
        left_out.event = event
        left_out.count += 1


def _takes(bucket: _Bucket, now: float, burst: int, refill_seconds: float) -> bool:
    """Take a token, if there is one."""
    bucket.tokens = min(burst, bucket.tokens + (now - bucket.at) / refill_seconds)
    bucket.at = now
    if bucket.tokens < 1:
        return False
    bucket.tokens -= 1
    return True
