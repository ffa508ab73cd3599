"""A broker that is behind is not taken for a stream that lost messages; a restored stream still is."""

import asyncio
from typing import Any

import pytest
from nats.js.api import StreamInfo

from sluiceway.messaging import history_loss
from sluiceway.messaging.history_loss import NoQuorum, settled

READ = 59
SECOND = 1_000_000_000


def a_replica(name: str, active: int = SECOND // 10, *, offline: bool = False) -> dict[str, Any]:
    return {"name": name, "current": True, "offline": offline, "active": active}


def an_answer(last: int, *replicas: dict[str, Any], leader: str = "n1") -> StreamInfo:
    """Return what nats-server 2.15.1 says; the broker that answers is none of the replicas."""
    info: StreamInfo = StreamInfo.from_response(
        {
            "config": {"name": "FEATURES"},
            "created": "2026-11-28T20:38:57.452888376Z",
            "state": {"messages": last, "bytes": 1, "first_seq": 1, "last_seq": last, "consumer_count": 0},
            "cluster": {"name": "c", "leader": leader, "replicas": list(map(dict, replicas))},
        }
    )
    return info


HEALTHY = (a_replica("n2"), a_replica("n3"))
#: What a leader said 4 ms after it had been frozen for 8 s: the others had elected another one.
RESUMED = (a_replica("n2", 7_770_000_000), a_replica("n3", 7_770_000_000))
ONE_HEARD = (a_replica("n2"), a_replica("n3", 20 * SECOND, offline=True))
#: A replica that was not heard since the leader is known was active 0 ns ago.
NONE_HEARD_YET = (a_replica("n2", 0), a_replica("n3", 0))


class Broker:
    """Gives these answers, the last one again and again."""

    def __init__(self, *answers: StreamInfo) -> None:
        self.asked = 0
        self._answers = answers

    async def __call__(self) -> StreamInfo:
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


def is_loss(info: StreamInfo) -> bool:
    return info.state.last_seq < READ


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let no time pass: what would be waited for is noted."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    class Loop:
        def time(self) -> float:
            return sum(slept)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(asyncio, "get_running_loop", Loop)
    return slept


async def test_what_is_not_lost_is_one_question() -> None:
    broker = Broker(an_answer(READ, *RESUMED))

    assert (await settled(broker, is_loss)).state.last_seq == READ
    assert broker.asked == 1


async def test_a_single_broker_is_believed_immediately(clock: list[float]) -> None:
    broker = Broker(an_answer(42))

    assert (await settled(broker, is_loss)).state.last_seq == 42
    assert clock == []


@pytest.mark.parametrize(
    ("replicas", "leader"),
    [(RESUMED, "n1"), (NONE_HEARD_YET, "n1"), (HEALTHY, ""), (HEALTHY, "n2")],
    ids=["resumed", "not heard", "without a leader", "led by another"],
)
async def test_a_broker_that_does_not_hear_most_replicas_proves_nothing(
    replicas: tuple[dict[str, Any], ...], leader: str
) -> None:
    with pytest.raises(NoQuorum):
        await settled(Broker(an_answer(42, *replicas, leader=leader)), is_loss)


@pytest.mark.parametrize("replicas", [HEALTHY, ONE_HEARD])
async def test_a_leader_that_was_replaced_a_moment_ago_is_not_believed(
    replicas: tuple[dict[str, Any], ...],
) -> None:
    """It may hear a replica that has voted for another one, until that says so."""
    broker = Broker(an_answer(42, *replicas), an_answer(42, *replicas), an_answer(60, *HEALTHY, leader="n2"))

    assert (await settled(broker, is_loss)).state.last_seq == 60
    assert broker.asked == 3


@pytest.mark.parametrize("replicas", [HEALTHY, ONE_HEARD])
async def test_a_restored_stream_of_a_cluster_is_believed_after_ten_seconds(
    replicas: tuple[dict[str, Any], ...], clock: list[float]
) -> None:
    broker = Broker(an_answer(42, *replicas))

    assert (await settled(broker, is_loss)).state.last_seq == 42
    assert sum(clock) == history_loss.CONFIRMED_SECONDS


async def test_an_answer_that_proves_nothing_begins_the_wait_again(clock: list[float]) -> None:
    broker = Broker(*[an_answer(42, *HEALTHY)] * 5, an_answer(42, *RESUMED))

    with pytest.raises(NoQuorum):
        await settled(broker, is_loss)
    assert sum(clock) < history_loss.CONFIRMED_SECONDS
