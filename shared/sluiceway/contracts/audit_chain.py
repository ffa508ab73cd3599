"""Whether the records of AUDIT are those that were written: none altered, removed, added or reordered.

The end of a chain tells nothing about records cut off behind it. For that, somebody keeps the hash of an end
elsewhere, and expects it later.
"""

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from .audit_records import NO_HASH, AuditRecord, ChainEnd, canonical_json, record_hash


class BrokenRecord(NamedTuple):
    """The first record that is not what was written, or that is missing."""

    service: str
    #: Its sequence in the stream; None: it is missing.
    sequence: int | None
    why: str

    def __str__(self) -> str:
        where = "" if self.sequence is None else f" at message {self.sequence}"
        return f"{self.service}{where}: {self.why}"


@dataclass
class ChainVerifier:
    """Verifies the records of all services, in the order of the stream."""

    #: Hashes of records that must be there.
    expected: frozenset[str] = frozenset()
    #: Whether the stream may have removed its oldest records, since they were too old or too many.
    has_expired_records: bool = False
    #: Service → its newest record.
    ends: dict[str, ChainEnd] = field(default_factory=dict)
    #: Service → the number of its oldest record.
    firsts: dict[str, int] = field(default_factory=dict)
    count: int = 0
    found: set[str] = field(default_factory=set)

    def check(self, service: str, sequence: int, data: bytes) -> BrokenRecord | None:
        """Take the next record; return what is wrong with it."""
        self.count += 1
        fields = _parse(data)
        record = _record(fields) if fields else None
        if fields is None or record is None:
            return BrokenRecord(service, sequence, "it is not a record of this stream")
        why = self._why_broken(service, record, fields, data)
        if why:
            return BrokenRecord(service, sequence, why)
        self.firsts.setdefault(service, record.number)
        self.ends[service] = ChainEnd(record.number, record.hash)
        self.found |= self.expected & {record.hash}
        return None

    def missing(self) -> BrokenRecord | None:
        """Return an expected record that was not found, after all were checked."""
        absent = sorted(self.expected - self.found)
        if not absent:
            return None
        ends = ", ".join(f"{service} {end.number}" for service, end in sorted(self.ends.items())) or "nothing"
        return BrokenRecord(
            "expected record",
            None,
            f"no record has the hash {absent[0]}: the end was cut off, the history went back, or the record "
            f"has expired; the stream ends with {ends}",
        )

    def _why_broken(
        self, service: str, record: AuditRecord, fields: dict[str, Any], data: bytes
    ) -> str | None:
        if record.hash != record_hash(fields) or data != canonical_json(fields):
            return f"record {record.number} was altered: its hash does not fit its content"
        if record.service != service:
            return f"record {record.number} is one of {record.service}: it was moved here"
        end = self.ends.get(service)
        if end is None:
            return self._why_not_first(record)
        if record.number != end.number + 1:
            return f"record {record.number} follows {end.number}: records were removed, repeated or reordered"
        if record.previous != end.hash:
            return (
                f"record {record.number} does not follow from {end.number}: a record before it was replaced"
            )
        return None

    def _why_not_first(self, record: AuditRecord) -> str | None:
        if record.number == 1:
            return None if record.previous == NO_HASH else "record 1 says that there was one before it"
        if not self.has_expired_records:
            return f"the first record is {record.number}: those before it were removed"
        return None


def _parse(data: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _record(fields: dict[str, Any]) -> AuditRecord | None:
    try:
        return AuditRecord.model_validate(fields)
    except ValidationError:
        return None
