"""An epoch or a revision that no publisher can have written ends nobody, and leaves room for greater ones."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sluiceway.client.document_set import DocumentSet
from sluiceway.client.staged_set import parse_mark
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.rule_document import EPOCH_AHEAD_MAX_MS, REVISION_MAX
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rule_table import RuleKey, RuleVersion
from sluiceway.messaging.rule_writes import RuleWrite
from sluiceway.messaging.stream_records import Record
from tests.support.answering_client import AnsweringClient, stored
from tests.support.builders import NOW

KEY = RuleKey("dev", FeatureKey(FeatureKind.GATE, "checkout"))
LATER = RuleKey("dev", FeatureKey(FeatureKind.GATE, "later"))
HUGE = 10**22
#: Headers of a document that a publisher has written.
DOCUMENT = {
    envelope.EPOCH: str(NOW),
    envelope.REVISION: "3",
    envelope.REGION_REVISION: "2",
    envelope.CHECKSUM: "0" * 16,
}


def a_mark(epoch: int, sequence: int = 1, time_ms: int = NOW) -> Record:
    return Record(subjects.complete_set("dev"), sequence, time_ms, b"", {envelope.EPOCH: str(epoch)})


def a_document(changed: Mapping[str, str] | None = None) -> Record:
    return Record(subjects.rule(*KEY), 1, NOW, b"", DOCUMENT | dict(changed or {}))


class Store:
    """A store that follows nothing, and what it takes for foreign."""

    def __init__(self, body: bytes = b"") -> None:
        self.rules = RuleStore(Connection(AnsweringClient(lambda _: stored(9))))
        self.foreign: list[str | RuleKey] = []
        self.rules.on_foreign_mark = self.foreign.append
        self.rules.on_foreign_write = self.foreign.append
        self._body = body
        self.rules._js = self  # type: ignore[assignment]  # which answers with the body of a mark

    async def get_msg(self, stream: str, **options: Any) -> Any:
        return Record("", 1, NOW, self._body, {})

    async def write_in_a_new_epoch(self) -> int:
        """Write a document as after a reconnect; return its epoch."""
        self.rules.begin_epoch(NOW)
        write = RuleWrite(LATER, self.rules.epoch, RuleVersion(4, 2), "1" * 16, NOW, b"{}")
        assert await self.rules.write([write]) == []
        return self.rules.published(LATER).epoch


@pytest.mark.parametrize("epoch", [HUGE, 2**64 - 1, 2**63, -1], ids=str)
async def test_a_mark_with_an_impossible_epoch_is_foreign_and_ends_nobody(epoch: int) -> None:
    store = Store()

    store.rules._on_record(a_mark(epoch))

    assert store.foreign == ["dev"]
    assert await store.write_in_a_new_epoch() == NOW


async def test_a_mark_with_an_impossible_epoch_in_its_body_is_foreign_and_ends_nobody() -> None:
    store = Store(json.dumps({"region": "dev", "epoch": HUGE, "logSequence": 1}).encode())
    store.rules._on_record(Record(subjects.complete_set("dev"), 1, NOW, b"", {}))

    await store.rules.read_marks()

    assert store.foreign == ["dev"]
    assert await store.write_in_a_new_epoch() == NOW


@pytest.mark.parametrize(
    "changed",
    [
        {envelope.EPOCH: str(2**64 - 1)},
        {envelope.EPOCH: "-1"},
        {envelope.REVISION: str(2**64 - 1)},
        {envelope.REVISION: str(REVISION_MAX + 1)},
        {envelope.REGION_REVISION: str(2**64 - 1)},
    ],
    ids=str,
)
async def test_a_document_with_an_impossible_number_is_foreign_and_ends_nobody(
    changed: Mapping[str, str],
) -> None:
    store = Store()

    store.rules._on_record(a_document(changed))

    assert store.foreign == [KEY]
    assert store.rules.published(KEY).version == RuleVersion(0, 0)
    assert await store.write_in_a_new_epoch() == NOW


async def test_there_is_always_a_greater_epoch() -> None:
    store, greatest = Store(), NOW + EPOCH_AHEAD_MAX_MS
    store.rules._on_record(a_mark(greatest))
    store.rules.begin_epoch(NOW)

    store.rules._on_record(a_mark(store.rules.epoch, sequence=2, time_ms=NOW + 1))

    assert store.foreign == []
    assert store.rules.epoch == greatest + 1
    assert store.rules.is_marked("dev")


def test_what_a_publisher_writes_is_no_foreign_document() -> None:
    store = Store()

    store.rules._on_record(a_document())

    assert store.foreign == []
    assert store.rules.epoch == NOW


def test_a_region_takes_no_impossible_epoch() -> None:
    mark = json.dumps({"region": "dev", "epoch": HUGE, "logSequence": 1}).encode()
    deletion = {envelope.EPOCH: str(HUGE), envelope.REVISION: "1", "KV-Operation": "DEL"}

    assert parse_mark(Record(subjects.complete_set("dev"), 1, NOW, mark, {})) is None
    with pytest.raises(ValueError, match="invalid epoch"):
        DocumentSet().apply(Record(subjects.rule(*KEY), 1, NOW, b"", deletion))
