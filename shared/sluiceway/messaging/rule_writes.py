"""Writes of rule documents, and the messages that they are.

An event is written to each region: what all of these messages have in common is encoded once.
"""

from functools import lru_cache
from typing import NamedTuple

from ..contracts import envelope, subjects
from .publishing import DELETION, ConditionalMessage, begin_headers
from .rule_table import RuleKey, RuleVersion

#: Events whose headers are remembered; those of one event are encoded one after the other.
RECENT_HEADERS = 64


class RuleWrite(NamedTuple):
    """A document to write; if `data` is None, the key's rules are deleted."""

    key: RuleKey
    epoch: int
    version: RuleVersion
    checksum: str
    event_time_ms: int
    data: bytes | None

    def message(self, last_sequence: int, first_sequence: int) -> ConditionalMessage:
        """Return what stores it after the last message of its key; 0: it is the first one."""
        revision, region_revision = self.version
        headers = b"".join(
            (
                _common_headers(self.epoch, revision, self.checksum, self.event_time_ms, self.data is None),
                b"%b: %d\r\n" % (_REGION_REVISION, region_revision),
                b"%b: %d\r\n" % (_FIRST, first_sequence) if last_sequence else b"",
            )
        )
        return ConditionalMessage(subjects.rule(*self.key), self.data or b"", headers, last_sequence)


_REGION_REVISION = envelope.REGION_REVISION.encode()
_FIRST = envelope.FIRST.encode()


@lru_cache(RECENT_HEADERS)
def _common_headers(epoch: int, revision: int, checksum: str, event_time_ms: int, is_deletion: bool) -> bytes:
    return begin_headers(
        {
            envelope.EPOCH: str(epoch),
            envelope.REVISION: str(revision),
            envelope.CHECKSUM: checksum,
            envelope.EVENT_TIME: str(event_time_ms),
            **(DELETION if is_deletion else {}),
        }
    )
