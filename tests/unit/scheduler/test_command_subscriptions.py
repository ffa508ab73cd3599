"""A key that floods is not listened to for a while, and everybody else is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from services.scheduler import command_subscriptions
from services.scheduler.command_subscriptions import (
    FLOOD_AGAIN_COMMANDS,
    FLOOD_BYTES_AT_ONCE,
    FLOOD_COMMANDS,
    FLOOD_COMMANDS_AT_ONCE,
    FLOOD_WINDOWS,
    SHUT_OUT_SECONDS,
    SHUT_OUT_SECONDS_MAX,
    CommandSubscriptions,
)
from sluiceway.contracts.commands import TAKING_BACK_VERBS
from sluiceway.contracts.subjects import COMMANDS, command
from sluiceway.messaging.nats_client import RawMessage, Receive, StreamClient
from sluiceway.service import background_task
from tests.support.waiting import eventually


class FakeClient:
    """Knows who is subscribed to what."""

    def __init__(self) -> None:
        self.subjects: list[str] = []

    async def receive_now(self, subject: str, receive: Receive, *, queue: str) -> Any:
        assert queue == "scheduler"
        self.subjects.append(subject)
        return _Subscription(self, subject)

    async def flush(self, timeout: int) -> None: ...


class _Subscription:
    def __init__(self, client: FakeClient, subject: str) -> None:
        self._client = client
        self._subject = subject

    async def drain(self) -> None:
        self._client.subjects.remove(self._subject)

    unsubscribe = drain


class Running:
    """Subscriptions that run, with two keys and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.client = FakeClient()
        self.keys = ["ada", "mallory"]
        self.subscriptions = CommandSubscriptions(
            cast(StreamClient, self.client), self._receive, lambda: self.keys, lambda: self.now
        )

    def _receive(self, message: RawMessage) -> None: ...

    def flood(
        self,
        principal: str | None,
        count: int = FLOOD_COMMANDS_AT_ONCE + 1,
        size: int = 100,
        verb: str = "save_feature",
    ) -> bool:
        """Refuse so many commands; return whether their sender is shut out."""
        for _ in range(count):
            self.subscriptions.record_refusal(principal, verb, size)
        return self.subscriptions.is_shut_out(principal, verb)

    def is_shut_out(self, principal: str) -> bool:
        return self.subscriptions.is_shut_out(principal, "save_feature")

    async def listens_to(self, *expected: str) -> None:
        await eventually(lambda: sorted(self.client.subjects) == sorted(expected), f"it hears {expected}")


def taking_back(key: str) -> list[str]:
    return [command(verb, key) for verb in TAKING_BACK_VERBS]


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(command_subscriptions, "REFRESH_SECONDS", 0)
    running = Running()
    await running.subscriptions.start()
    async with background_task(running.subscriptions.run(), "subscriptions"):
        yield running
    await running.subscriptions.stop()


async def test_everybody_is_listened_to(running: Running) -> None:
    await running.listens_to(COMMANDS)


async def test_a_flooding_key_alone_is_not_listened_to_for_a_while(running: Running) -> None:
    assert running.flood("mallory")
    others = [command("*", sender) for sender in (None, "console", "monitor", "ada")]
    others += taking_back("mallory")
    await running.listens_to(*others)
    running.keys.append("bea")  # created meanwhile
    await running.listens_to(*others, command("*", "bea"))

    running.now += SHUT_OUT_SECONDS + 1

    await running.listens_to(COMMANDS)
    assert not running.is_shut_out("mallory")


async def test_whoever_floods_again_is_shut_out_for_longer(running: Running) -> None:
    longest = 0.0
    for _ in range(10):
        assert running.flood("mallory")
        since = running.now
        while running.is_shut_out("mallory"):
            running.now += 1
            await asyncio.sleep(0)
        longest = running.now - since

    assert SHUT_OUT_SECONDS < longest <= SHUT_OUT_SECONDS_MAX + 5


async def test_whoever_floods_again_is_shut_out_sooner(running: Running) -> None:
    assert running.flood("mallory")
    running.now += SHUT_OUT_SECONDS + 1
    await eventually(lambda: not running.is_shut_out("mallory"), "it is listened to")

    assert not running.flood("mallory", FLOOD_AGAIN_COMMANDS)
    assert running.flood("mallory", 1)


@pytest.mark.parametrize("sender", [None, "console", "monitor"])
async def test_whoever_stands_for_many_is_never_shut_out(running: Running, sender: str | None) -> None:
    assert not running.flood(sender, 10 * FLOOD_COMMANDS_AT_ONCE)
    await running.listens_to(COMMANDS)


async def test_refusals_now_and_then_are_no_flood(running: Running) -> None:
    for _ in range(10):
        assert not running.flood("ada", FLOOD_COMMANDS_AT_ONCE)
        running.now += 3


async def test_a_burst_is_no_flood_and_what_goes_on_is_one(running: Running) -> None:
    for _ in range(FLOOD_WINDOWS - 1):
        assert not running.flood("ada", FLOOD_COMMANDS_AT_ONCE)
        running.now += 1.1

    assert not running.flood("ada", FLOOD_COMMANDS)
    assert running.flood("ada", 1)


async def test_a_flood_of_bytes_is_one_at_once(running: Running) -> None:
    assert running.flood("mallory", 21, FLOOD_BYTES_AT_ONCE // 20)


async def test_a_flooding_keys_aborts_are_heard_unless_they_are_a_flood_as_well(running: Running) -> None:
    others = [command("*", sender) for sender in (None, "console", "monitor", "ada")]
    assert running.flood("mallory")
    assert not running.subscriptions.is_shut_out("mallory", "abort")
    await running.listens_to(*others, *taking_back("mallory"))

    assert running.flood("mallory", verb="abort")

    await running.listens_to(*others)


async def test_a_key_that_floods_aborts_is_not_listened_to_at_all(running: Running) -> None:
    assert running.flood("mallory", verb="abort")
    assert running.is_shut_out("mallory")


async def test_many_flooding_keys_are_shut_out_at_the_same_time(running: Running) -> None:
    assert running.flood("mallory")
    assert running.flood("ada")

    others = [command("*", sender) for sender in (None, "console", "monitor")]
    await running.listens_to(*others, *taking_back("mallory"), *taking_back("ada"))
