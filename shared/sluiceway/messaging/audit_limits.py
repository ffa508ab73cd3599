"""How many records of AUDIT one source may cause, so that nobody evicts what others did."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import LRUCache

from ..contracts.audit_records import AuditEvent, AuditType
from ..token_bucket import TokenBucket


class _Budget(NamedTuple):
    """How many records may come immediately after a rest, and how soon another one."""

    burst: int
    refill_seconds: float

    def bucket(self, now: float) -> TokenBucket:
        return TokenBucket(self.burst, 1 / self.refill_seconds, now)


#: Of one source and type. A source that goes on with all types for 400 days causes about 30 MB.
OF_SOURCE = _Budget(20, 3_600)
#: Of keys that one admin creates or revokes. The catalogue has them as well.
OF_KEY_CHANGES = _Budget(1_000, 60)
#: Of all that nobody vouches for, together: addresses are cheap.
OF_ANONYMOUS = _Budget(300, 60)
ANONYMOUS = "anonymous"
#: Pairs of a source and a type remembered, of known sources and of addresses. The least recent one is
#: forgotten first, and starts again. Addresses are apart: they are cheap, and must make nobody forgotten.
SOURCES_MAX = 10_000
#: How long left out records of a source wait until they are counted in one of their own.
SUMMARY_SECONDS = 3_600.0
#: Sources with left out records that are counted one by one; those of others are counted together.
SUMMARIES_MAX = 1_000
KEY_CHANGES = frozenset({AuditType.KEY_CREATED, AuditType.KEY_REVOKED})
#: What this code itself causes.
UNLIMITED = frozenset({AuditType.LOST, AuditType.HISTORY_WENT_BACK})


@dataclass(slots=True)
class _LeftOut:
    event: AuditEvent
    since: float
    count: int = 0


class AuditLimits:
    """Leaves out what one source causes too often, and counts it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: LRUCache[str, TokenBucket] = LRUCache(SOURCES_MAX)
        self._addresses: LRUCache[str, TokenBucket] = LRUCache(SOURCES_MAX)
        self._anonymous = OF_ANONYMOUS.bucket(clock())
        self._left_out: dict[str, _LeftOut] = {}

    def admits(self, event: AuditEvent) -> bool:
        """Return whether to store an event; otherwise it is counted as left out."""
        if event.type in UNLIMITED:
            return True
        now, is_anonymous = self._clock(), event.actor is None
        is_admitted = event.source is None or self._bucket(event, now).take(now)
        if is_admitted and is_anonymous:
            is_admitted = self._anonymous.take(now)
        if not is_admitted:
            self._leave_out(ANONYMOUS if is_anonymous else event.source or ANONYMOUS, event, now)
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

    def _bucket(self, event: AuditEvent, now: float) -> TokenBucket:
        key = f"{event.type} {event.source}"
        buckets = self._addresses if event.actor is None else self._known
        if key not in buckets:
            budget = OF_KEY_CHANGES if event.type in KEY_CHANGES else OF_SOURCE
            buckets[key] = budget.bucket(now)
        return buckets[key]

    def _leave_out(self, source: str, event: AuditEvent, now: float) -> None:
        if source == ANONYMOUS or len(self._left_out) >= SUMMARIES_MAX:
            source = ANONYMOUS
            event = event.model_copy(update={"actor": None, "account": None, "address": None})
        left_out = self._left_out.setdefault(source, _LeftOut(event, now))
        left_out.event = event
        left_out.count += 1
