"""A client sends no more commands at a time than the scheduler takes, and waits until it is listened to."""

import asyncio
from typing import cast

import pytest
from nats.errors import NoRespondersError, OutboundBufferLimitError
from nats.errors import TimeoutError as NatsTimeoutError

from sluiceway.contracts.commands import AbortTrigger, Command
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import Unavailable
from sluiceway.messaging import command_client, stall_retries
from sluiceway.messaging.command_client import (
    RATE_LIMITED_ATTEMPTS_MAX,
    UNDER_WAY_MAX,
    UNHEARD_ATTEMPTS_MAX,
    CommandClient,
)
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.stall_retries import STALL_SECONDS_MAX
from sluiceway.pipelines import refusals

UNCHANGED = Reply(outcome=Outcome.UNCHANGED)
RATE_LIMITED = Reply(outcome=Outcome.REFUSED, refusal=refusals.rate_limited("ci", 0.001))


#: What the schedulers of this version say while the broker elects a leader,
STALLED = Reply(outcome=Outcome.REFUSED, refusal=refusals.unavailable("no leader", passes_soon=True))
#: and what those of older versions say.
STALLED_0_15 = b'{"outcome":"refused","refusal":{"code":"unavailable","message":"no leader"}}'
FULL = Reply(outcome=Outcome.REFUSED, refusal=refusals.unavailable("the store is full", passes_soon=False))
FAILED = Reply(outcome=Outcome.REFUSED, refusal=refusals.internal_error("KeyError"))


class FakeBroker:
    """Answers with these replies, and then with the last of them; None: nobody listens."""

    max_payload = 1_000_000
    is_in_cluster = False

    def __init__(self, *replies: Reply | bytes | Exception | None) -> None:
        self.replies = list(replies)
        self.under_way = self.most_under_way = 0
        self.requests: list[bytes] = []

    async def request(self, subject: str, data: bytes, **_: object) -> bytes:
        self.requests.append(data)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply is None:
            raise NoRespondersError
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, bytes) else reply.to_json()


def client_of(broker: FakeBroker) -> CommandClient:
    class FakeConnection:
        client = replies = broker
        principal = "ci"

    return CommandClient(cast(Connection, FakeConnection()))


def an_abort(person: str | None = None) -> Command:
    grants = (Grant(role=Role.ADMIN),)
    identity = Identity(name=person, grants=grants, vouched_by="console") if person else None
    return AbortTrigger(actor="ci", trigger="gate.g.1", identity=identity)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_client, "UNHEARD_SECONDS", 0)
    monkeypatch.setattr(command_client, "SHUT_OUT_SECONDS", 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> "FakeTime":
    """The time of the retries through a stall, which passes while they pause."""
    fake = FakeTime()
    monkeypatch.setattr(stall_retries, "time", fake)
    monkeypatch.setattr(stall_retries, "asyncio", fake)
    return fake


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


async def test_a_thousand_commands_at_once_are_sent_a_few_at_a_time() -> None:
    broker = FakeBroker(UNCHANGED)
    client = client_of(broker)

    replies = await asyncio.gather(*(client.send(an_abort()) for _ in range(1_000)))

    assert replies == [UNCHANGED] * 1_000
    assert broker.most_under_way == UNDER_WAY_MAX


async def test_nobody_waits_for_the_commands_of_another_person() -> None:
    broker = FakeBroker(UNCHANGED)
    client = client_of(broker)
    people = ["mallory"] * 100 + ["ada"]

    await asyncio.gather(*(client.send(an_abort(person)) for person in people))

    assert broker.most_under_way == UNDER_WAY_MAX + 1


async def test_a_sender_that_sent_too_many_waits_until_it_is_listened_to_again() -> None:
    broker = FakeBroker(RATE_LIMITED, *[None] * (UNHEARD_ATTEMPTS_MAX + 5), UNCHANGED)

    assert await client_of(broker).send(an_abort()) == UNCHANGED


async def test_in_a_cluster_nobody_is_refused_because_no_scheduler_is_heard_for_some_seconds(
    clock: "FakeTime",
) -> None:
    broker = FakeBroker(*[None] * (UNHEARD_ATTEMPTS_MAX + 5), UNCHANGED)
    broker.is_in_cluster = True

    assert await client_of(broker).send(an_abort()) == UNCHANGED
    assert clock.now < STALL_SECONDS_MAX


async def test_in_a_cluster_it_is_said_after_a_stall_that_no_scheduler_listens(clock: "FakeTime") -> None:
    broker = FakeBroker(None)
    broker.is_in_cluster = True

    with pytest.raises(Unavailable, match="no scheduler is listening"):
        await client_of(broker).send(an_abort())

    assert STALL_SECONDS_MAX - 2 < clock.now < STALL_SECONDS_MAX


async def test_a_sender_that_nobody_listens_to_learns_both_reasons() -> None:
    with pytest.raises(Unavailable) as raised:
        await client_of(FakeBroker(None)).send(an_abort())

    assert "is one running?" in str(raised.value)
    assert "it does not listen to ci, which has sent too many commands" in str(raised.value)


async def test_a_command_is_sent_again_by_the_same_id_until_the_broker_has_a_leader(clock: FakeTime) -> None:
    lost = (NatsTimeoutError(), OutboundBufferLimitError(), None, NatsTimeoutError())
    broker = FakeBroker(STALLED, *lost, STALLED, UNCHANGED)

    assert await client_of(broker).send(an_abort()) == UNCHANGED

    assert len(broker.requests) == 7
    assert len(set(broker.requests)) == 1
    assert clock.pauses[-1] > 4 * clock.pauses[0]


async def test_the_last_refusal_is_given_after_fifteen_seconds(clock: FakeTime) -> None:
    broker = FakeBroker(STALLED)

    assert await client_of(broker).send(an_abort()) == STALLED

    assert STALL_SECONDS_MAX - 1 <= clock.now <= STALL_SECONDS_MAX
    assert 15 <= len(broker.requests) <= 40


async def test_the_last_refusal_is_given_even_if_nothing_comes_after_it(clock: FakeTime) -> None:
    assert await client_of(FakeBroker(STALLED, NatsTimeoutError())).send(an_abort()) == STALLED


async def test_a_command_without_any_reply_is_given_up_after_fifteen_seconds(clock: FakeTime) -> None:
    with pytest.raises(Unavailable, match="no reply to abort in 15 s"):
        await client_of(FakeBroker(NatsTimeoutError())).send(an_abort())

    assert clock.now <= STALL_SECONDS_MAX


async def test_a_scheduler_that_is_away_during_a_stall_is_waited_for(clock: FakeTime) -> None:
    broker = FakeBroker(STALLED, *[None] * (UNHEARD_ATTEMPTS_MAX + 3), UNCHANGED)

    assert await client_of(broker).send(an_abort()) == UNCHANGED


@pytest.mark.parametrize("reply", [FULL, FAILED])
async def test_what_does_not_pass_by_itself_is_said_at_once(reply: Reply, clock: FakeTime) -> None:
    broker = FakeBroker(reply)

    assert await client_of(broker).send(an_abort()) == reply

    assert len(broker.requests) == 1


async def test_the_refusal_of_an_older_scheduler_is_final_as_it_was(clock: FakeTime) -> None:
    broker = FakeBroker(STALLED_0_15)

    reply = await client_of(broker).send(an_abort())

    assert reply.refusal
    assert reply.refusal.message == "no leader"
    assert len(broker.requests) == 1


async def test_too_many_commands_are_sent_again_for_as_long_as_the_broker_stalls(clock: FakeTime) -> None:
    broker = FakeBroker(STALLED, *[RATE_LIMITED] * (RATE_LIMITED_ATTEMPTS_MAX + 2), UNCHANGED)

    assert await client_of(broker).send(an_abort()) == UNCHANGED
