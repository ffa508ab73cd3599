"""Rules in one stream or several: one write in the usual case, and the number is asked for seldom."""

import asyncio
import json
from base64 import b64encode

import pytest

from sluiceway.contracts import subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging import rules_reads
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.message_size import OutgoingMessage
from sluiceway.messaging.rules_reads import RulesReads
from sluiceway.messaging.rules_streams import RulesStreams
from tests.support.answering_client import AnsweringClient

INFO = "$JS.API.STREAM.INFO.KV_RULES"
NO_MESSAGE = b'{"error":{"code":404,"err_code":10037,"description":"no message found"}}'
NO_STREAM = b'{"error":{"code":404,"err_code":10059,"description":"stream not found"}}'
PLACES = [subjects.rule(f"region-{number}", FeatureKey(FeatureKind.GATE, "checkout")) for number in range(20)]


class FakeRules(AnsweringClient):
    """Holds rules of all regions in so many streams; None: the number is being changed."""

    def __init__(self, count: int | None) -> None:
        super().__init__(self._answer_to)
        self.streams = RulesStreams(count) if count else None
        self.lacks: set[str] = set()

    def change(self, count: int | None) -> None:
        self.streams = RulesStreams(count) if count else None

    @property
    def numbers_asked(self) -> int:
        return sum(request.subject == INFO for write in self.writes for request in write)

    def _answer_to(self, request: OutgoingMessage) -> bytes:
        if request.subject == INFO:
            return (
                json.dumps({"config": {"metadata": self.streams.metadata}}).encode()
                if self.streams
                else NO_STREAM
            )
        place = str(json.loads(request.data)["last_by_subj"])
        stream = request.subject.rsplit(".", 1)[1]
        if self.streams is None or stream not in self.streams.names:
            return NO_STREAM
        if stream != self.streams.of(subjects.parse_region(place)) or place in self.lacks:
            return NO_MESSAGE
        headers = b64encode(f"NATS/1.0\r\nStream: {stream}\r\n\r\n".encode()).decode()
        message = {"seq": 1, "time": "2026-11-28T10:00:00Z", "hdrs": headers}
        return json.dumps({"message": message}).encode()


async def found(reads: RulesReads) -> int:
    return sum(message is not None for message in (await reads.newest(PLACES)).values())


async def test_one_stream_costs_what_it_did() -> None:
    client = FakeRules(1)

    assert await found(RulesReads(Connection(client))) == len(PLACES)

    assert [len(write) for write in client.writes] == [len(PLACES)]


async def test_once_the_number_is_known_all_streams_are_one_write() -> None:
    client = FakeRules(3)
    reads = RulesReads(Connection(client))
    assert await found(reads) == len(PLACES)
    client.writes.clear()

    assert await found(reads) == len(PLACES)

    assert [len(write) for write in client.writes] == [len(PLACES)]


async def test_a_change_of_the_number_is_noticed_by_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_reads, "ASK_EVERY_SECONDS", 0)
    client = FakeRules(1)
    reads = RulesReads(Connection(client))
    for count in (16, 3, 4, 1, 64, 1):
        client.change(count)
        assert await found(reads) == len(PLACES)
    assert client.numbers_asked == 6


async def test_during_a_change_nothing_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_reads, "ASK_EVERY_SECONDS", 0)
    client = FakeRules(3)
    reads = RulesReads(Connection(client))
    await found(reads)

    client.change(None)
    assert await reads.newest(PLACES) == dict.fromkeys(PLACES)

    client.change(4)
    assert await found(reads) == len(PLACES)


async def test_what_is_not_published_yet_asks_for_the_number_once_a_second_at_most() -> None:
    client = FakeRules(3)
    client.lacks = {PLACES[0]}
    reads = RulesReads(Connection(client))

    for _ in range(10):
        assert await found(reads) == len(PLACES) - 1

    assert client.numbers_asked == 1


async def test_all_who_miss_something_at_the_same_moment_learn_the_number() -> None:
    client = FakeRules(3)
    reads = RulesReads(Connection(client))

    counts = await asyncio.gather(*(found(reads) for _ in range(20)))

    assert counts == [len(PLACES)] * 20
    assert client.numbers_asked == 1


async def test_without_an_answer_about_the_number_nothing_is_taken_for_published() -> None:
    class Silent(FakeRules):
        def _answer_to(self, request: OutgoingMessage) -> bytes:
            return b"{" if request.subject == INFO else super()._answer_to(request)

    reads = RulesReads(Connection(Silent(3)))

    in_first = [place for place in PLACES if RulesStreams(3).group_of(subjects.parse_region(place)) == 0]
    assert 0 < len(in_first) < len(PLACES)
    assert await found(reads) == len(in_first)
