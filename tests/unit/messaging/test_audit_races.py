"""A record that another replica has under way, or that a broker behind does not hold, was not lost."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.js.api import PubAck
from nats.js.errors import APIError

from sluiceway.contracts.audit_records import START_OF_CHAIN, AuditEvent, AuditType, link
from sluiceway.messaging.audit_trail import AuditTrail
from sluiceway.messaging.connection import Connection
from tests.support.waiting import eventually

SERVICE = "scheduler"
#: What a cluster says while another record is proposed and not stored.
UNDER_WAY = {"code": 400, "err_code": 10164, "description": "wrong last sequence"}
#: What a broker says whose newest record is another one.
OTHER_END = {"code": 400, "err_code": 10071, "description": "wrong last sequence: 1"}


def an_event() -> AuditEvent:
    return AuditEvent(type=AuditType.REFUSED, time_ms=1, actor="eve", vouched_by="key")


class Stream:
    """A stream of two records: refuses the next one so often, and may say that it ends after the first."""

    def __init__(self, error: dict[str, Any], refusals: int, *, is_behind: bool) -> None:
        self.stored: list[bytes] = []
        self._error, self._refusals, self._is_behind = error, refusals, is_behind
        self._records, end = [], START_OF_CHAIN
        for _ in range(2):
            data, end = link(an_event(), SERVICE, end)
            self._records.append(data)

    async def publish(self, subject: str, data: bytes, **options: Any) -> PubAck:
        if self._refusals:
            self._refusals -= 1
            APIError.from_error(dict(self._error))
        self.stored.append(data)
        return PubAck(stream="AUDIT", seq=3)

    async def get_last_msg(self, stream: str, subject: str) -> Any:
        # The broker that is behind answers the question after the conflict, and only that one.
        last = 1 if self._is_behind and not self._refusals and not self._has_answered() else 2
        return SimpleNamespace(seq=last, data=self._records[last - 1])

    def _has_answered(self) -> bool:
        before, self._is_behind = not self._is_behind, False
        return before

    async def stream_info(self, stream: str) -> Any:
        return SimpleNamespace(cluster=None, state=SimpleNamespace(last_seq=2))


@pytest.mark.parametrize(
    ("error", "is_behind"), [(UNDER_WAY, False), (OTHER_END, True)], ids=["under way", "behind"]
)
async def test_a_conflict_without_a_loss_is_no_history_that_went_back(
    error: dict[str, Any], is_behind: bool, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Stream(error, 1, is_behind=is_behind)
    async with AuditTrail(cast(Connection, SimpleNamespace(js=stream)), SERVICE, lambda: 1) as trail:
        trail.record(an_event())
        await eventually(lambda: stream.stored, "it is stored")

    assert len(stream.stored) == 1
    assert "went back" not in caplog.text
