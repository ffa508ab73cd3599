"""The message of a rule document has the headers that followers read."""

import pytest

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.message_size import SizeCheckedClient
from sluiceway.messaging.publishing import DELETION, EXPECTED_LAST, _outgoing
from sluiceway.messaging.rule_table import RuleKey, RuleVersion
from sluiceway.messaging.rule_writes import RuleWrite

KEY = RuleKey("dev", FeatureKey(FeatureKind.GATE, "checkout"))
COMMON = {
    envelope.EPOCH: "7",
    envelope.REVISION: "5",
    envelope.REGION_REVISION: "3",
    envelope.CHECKSUM: "0123456789abcdef",
    envelope.EVENT_TIME: "1700000000000",
}


@pytest.mark.parametrize(
    ("data", "known", "more"),
    [
        (b"{}", (0, 0), {EXPECTED_LAST: "0"}),
        (b"{}", (9, 4), {EXPECTED_LAST: "9", envelope.FIRST: "4"}),
        (None, (9, 4), {EXPECTED_LAST: "9", envelope.FIRST: "4", **DELETION}),
    ],
    ids=["first", "next", "deletion"],
)
def test_a_document_has_its_headers_and_its_condition(
    data: bytes | None, known: tuple[int, int], more: dict[str, str]
) -> None:
    write = RuleWrite(KEY, 7, RuleVersion(5, 3), "0123456789abcdef", 1_700_000_000_000, data)

    sent = _outgoing(write.message(*known))

    assert (sent.subject, sent.data) == (subjects.rule(*KEY), data or b"")
    assert sent.headers.startswith(b"NATS/1.0\r\n")
    assert sent.headers.endswith(b"\r\n\r\n")
    lines = sent.headers.removeprefix(b"NATS/1.0\r\n")
    assert SizeCheckedClient._parse_header_lines(lines) == COMMON | more
