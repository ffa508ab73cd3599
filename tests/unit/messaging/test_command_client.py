"""A client sends no more commands at a time than the scheduler takes, and waits until it is listened to."""

import asyncio
from typing import cast

import pytest
from nats.errors import NoRespondersError

from sluiceway.contracts.commands import AbortTrigger, Command
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import Unavailable
from sluiceway.messaging import command_client
from sluiceway.messaging.command_client import UNDER_WAY_MAX, UNHEARD_ATTEMPTS_MAX, CommandClient
from sluiceway.messaging.connection import Connection
from sluiceway.pipelines import refusals

UNCHANGED = Reply(outcome=Outcome.UNCHANGED)
RATE_LIMITED = Reply(outcome=Outcome.REFUSED, refusal=refusals.rate_limited("ci", 0.001))


class FakeBroker:
    """Answers with these replies, and then with the last of them; None: nobody listens."""

    max_payload = 1_000_000

    def __init__(self, *replies: Reply | None) -> None:
        self.replies = list(replies)
        self.under_way = self.most_under_way = 0

    async def request(self, subject: str, data: bytes, **_: object) -> bytes:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply is None:
            raise NoRespondersError
        return reply.to_json()


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


async def test_a_sender_that_nobody_listens_to_learns_both_reasons() -> None:
    with pytest.raises(Unavailable) as raised:
        await client_of(FakeBroker(None)).send(an_abort())

    assert "is one running?" in str(raised.value)
    assert "it does not listen to ci, which has sent too many commands" in str(raised.value)
