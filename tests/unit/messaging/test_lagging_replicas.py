"""The broker that delivers a stream may be behind the one that says where the stream ends."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.js.api import ConsumerInfo

from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_history import StreamPlace
from sluiceway.messaging.stream_records import START, Position, Record

CREATED, TIME_MS = "2026-11-28 20:38:57+00:00", 1_000
LAST = 60
PLACE = StreamPlace("LETTERS")


class Streams:
    """A stream whose last sequence is 60, as broker n1 reports; n1 may be its leader or just a replica."""

    def __init__(self, leader: str | None) -> None:
        self._leader = leader

    async def stream_info(self, stream: str, subjects_filter: str | None = None) -> Any:
        cluster = SimpleNamespace(leader=self._leader, replicas=[SimpleNamespace(name="n2")])
        return SimpleNamespace(created=CREATED, cluster=cluster, state=SimpleNamespace(last_seq=LAST))


class Following:
    """A follower that has asked where the stream ends, and has a consumer at one of the brokers."""

    def __init__(self, after: Position = START, leader: str | None = "n1") -> None:
        connection = cast(Any, SimpleNamespace(js=Streams(leader), replies=None))
        self.delivered: list[int] = []
        self.follower = Follower(
            connection,
            "LETTERS",
            ["letters.>"],
            lambda record: self.delivered.append(record.sequence),
            after=after,
        )

    async def start(self, broker: str | None, pending: int = 0) -> None:
        await self.look()
        self.begin(broker, pending)

    async def look(self) -> None:
        await self.follower._check_history(PLACE)

    def begin(self, broker: str | None, pending: int = 0) -> None:
        info = SimpleNamespace(num_pending=pending, delivered=None, cluster=SimpleNamespace(leader=broker))
        self.follower._receive_start(cast(ConsumerInfo, info))

    def deliver(self, sequence: int, pending: int) -> None:
        self.follower._receive_record(Record("letters.a", sequence, TIME_MS, b"", {}), pending)


async def test_the_end_of_a_replica_that_is_behind_is_not_the_end_of_the_stream() -> None:
    following = Following()
    await following.start("n2", pending=40)

    following.deliver(40, 0)
    following.follower._receive_idle(40)

    assert not following.follower.is_caught_up
    following.deliver(LAST, 0)
    assert following.follower.is_caught_up


@pytest.mark.parametrize("broker", ["n1", "n2"])
async def test_a_stream_that_ends_with_other_subjects_is_read_once_its_replica_is_known_to_be_whole(
    broker: str,
) -> None:
    following = Following()
    await following.start(broker, pending=40)

    following.deliver(40, 0)
    assert following.follower.is_caught_up == (broker == "n1")
    following.follower._receive_idle(LAST)

    assert following.follower.is_caught_up


async def test_a_leader_that_has_not_delivered_everything_yet_is_waited_for() -> None:
    following = Following()
    await following.start("n1", pending=40)

    following.follower._receive_idle(0)

    assert not following.follower.is_caught_up


async def test_nothing_is_read_again_because_a_replica_has_not_got_so_far() -> None:
    following = Following(Position(CREATED, 50, TIME_MS))
    await following.start("n2")

    following.follower._receive_idle(49)  # the consumer waits at the position, and its replica ends at 40
    assert following.follower.resets == 0
    following.deliver(50, 10)
    following.deliver(LAST, 0)

    assert following.delivered == [LAST]
    assert following.follower.is_caught_up


@pytest.mark.parametrize("broker", ["n2", None])
async def test_without_a_leader_no_replica_is_believed_to_be_whole(broker: str | None) -> None:
    """Or what was published of later events would be taken for that of a lost history, and replaced."""
    following = Following(Position(CREATED, 40, TIME_MS), leader=None)
    await following.start(broker, pending=1)

    following.deliver(40, 0)

    assert not following.follower.is_caught_up
    following.deliver(LAST, 0)
    assert following.follower.is_caught_up
    assert following.delivered == [LAST]


@pytest.mark.parametrize("broker", ["n2", None])
async def test_without_a_leader_nothing_is_read_again_because_a_replica_has_not_got_so_far(
    broker: str | None,
) -> None:
    following = Following(Position(CREATED, 50, TIME_MS), leader=None)

    await following.start(broker)

    assert following.follower.resets == 0
    assert not following.follower.is_caught_up


@pytest.mark.parametrize("broker", ["n1", "n2"])
async def test_a_record_that_was_removed_is_noticed_by_a_replica_that_is_whole(broker: str) -> None:
    following = Following(Position(CREATED, 50, TIME_MS))
    await following.start(broker)

    if broker != "n1":
        following.follower._receive_idle(LAST)

    assert following.follower.resets == 1
    assert following.follower._broken.is_set()


@pytest.mark.parametrize("looked_until", [None, LAST])
async def test_what_was_read_from_the_start_again_is_not_read_to_its_end_by_the_consumer_before_it(
    looked_until: int | None,
) -> None:
    """Its first record came while the place was looked up, after it was created with nothing to deliver."""
    following = Following(Position(CREATED, LAST, TIME_MS))
    await following.look()

    following.deliver(LAST + 1, 0)
    assert following.follower.resets == 1
    if looked_until is None:
        following.begin("n1")
    else:
        following.follower._receive_idle(looked_until)

    assert not following.follower.is_caught_up
    assert following.follower._broken.is_set()


async def test_catching_up_waits_for_what_a_better_broker_has_named() -> None:
    following = Following()
    await following.start("n1", pending=40)
    following.deliver(40, 0)
    following.follower._end = cast(Any, SimpleNamespace(answer=stale_end))

    waiting = asyncio.create_task(following.follower.catch_up(5.0, at_least=LAST + 1))
    for _ in range(5):
        await asyncio.sleep(0)

    assert not waiting.done()
    following.deliver(LAST + 1, 0)
    await waiting


async def stale_end() -> int:
    return 40
