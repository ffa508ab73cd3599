"""Whoever sends wrong keys delays nobody else's key, whatever is guessed and from wherever."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from services.console import hash_queue
from services.console.authentication import SECRETS_MAX, KeyVerifier
from services.console.backend import BackendProvider
from sluiceway import console_keys
from sluiceway.contracts.identity import ApiKey, Grant, Role
from sluiceway.errors import Unavailable
from tests.support.waiting import eventually

ADA, BEA = console_keys.mint("ada"), console_keys.mint("bea")
MALLORY, NAT = "192.0.2.1", "198.51.100.1"
GUESSES = 300
#: How a stored hash begins.
PREFIX = "$argon2id$"


class Hashes:
    """Stands for Argon2: it takes as long as a test wants, and remembers what was compared."""

    def __init__(self) -> None:
        self.compared: list[str] = []
        #: Whether a comparison waits until the test ends.
        self.is_slow: Callable[[str], bool] = lambda key: False
        self.may_end = threading.Event()

    def matches(self, key: str, hash_: str | None) -> bool:
        self.compared.append(key)
        if self.is_slow(key):
            self.may_end.wait(timeout=30)
        return f"{PREFIX}{key}" == hash_


@pytest.fixture
async def hashes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hashes]:
    given = Hashes()
    monkeypatch.setattr(console_keys, "matches", given.matches)
    yield given
    given.may_end.set()


class KnownKeys(KeyVerifier):
    def __init__(self, *keys: str) -> None:
        super().__init__(BackendProvider(), lambda: 0)
        self.stored = {console_keys.key_id(key): key for key in keys}
        #: Known only once this console has caught up.
        self.new: set[str] = set()
        self.caught_up = 0
        self.broker_is_away = False

    async def catch_up(self) -> None:
        self.caught_up += 1
        if self.broker_is_away:
            raise Unavailable("cannot read the stream to its end")
        self.stored |= {console_keys.key_id(key): key for key in self.new}

    def valid_key(self, key_id: str) -> ApiKey | None:
        key = self.stored.get(key_id)
        if key is None:
            return None
        grants = (Grant(role=Role.VIEWER),)
        return ApiKey(id=key_id, owner=key_id, grants=grants, hash=f"{PREFIX}{key}", created_ms=0)


def request(address: str, *, has_left: bool = False) -> Request:
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        if not has_left:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "client": (address, 1)}, receive)


def guess(id_: str) -> str:
    return console_keys.mint(id_)


async def verified(keys: KeyVerifier, key: str, address: str) -> bool:
    async with asyncio.timeout(10):
        return await keys.verify(request(address), key) is not None


async def send(keys: KeyVerifier, guesses: list[str], address: str) -> list[asyncio.Task[Any]]:
    """Let an address send all of these, and return once each is on its way."""
    tasks = [asyncio.create_task(keys.verify(request(address), key)) for key in guesses]
    await asyncio.sleep(0)
    return tasks


async def cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_ids_that_nobody_has_delay_no_key_from_however_many_addresses(hashes: Hashes) -> None:
    keys = KnownKeys(ADA)
    hashes.is_slow = lambda key: key != ADA
    tasks = [
        task
        for number in range(50)
        for task in await send(keys, [guess(f"{number}x{other}") for other in range(10)], f"192.0.2.{number}")
    ]

    assert await verified(keys, ADA, "192.0.2.1")
    await cancel(tasks)


async def test_an_address_that_guesses_for_known_ids_delays_no_other_address(hashes: Hashes) -> None:
    ids = [f"id{number}" for number in range(50)]
    keys = KnownKeys(ADA, *map(guess, ids))
    hashes.is_slow = lambda key: key != ADA
    tasks = await send(keys, [guess(id_) for id_ in ids for _ in range(10)], MALLORY)

    assert await verified(keys, ADA, NAT)
    await cancel(tasks)


async def test_too_many_wrong_keys_are_refused_and_right_keys_of_the_same_address_are_not(
    hashes: Hashes,
) -> None:
    keys = KnownKeys(ADA, BEA)
    assert await verified(keys, BEA, NAT)
    tasks = [
        *await send(keys, [guess("bea") for _ in range(GUESSES)], NAT),
        *await send(keys, [guess(f"x{number}") for number in range(GUESSES)], NAT),
    ]

    answers = await asyncio.gather(*tasks, return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, HTTPException)]
    assert {answer.status_code for answer in refused} == {429}
    assert all(int((answer.headers or {})["Retry-After"]) >= 1 for answer in refused)
    assert len(hashes.compared) < GUESSES
    assert await verified(keys, ADA, NAT)
    assert await verified(keys, BEA, NAT)


async def test_a_key_that_many_requests_bring_at_once_is_compared_once(hashes: Hashes) -> None:
    keys = KnownKeys(ADA)

    answers = await asyncio.gather(*(verified(keys, ADA, NAT) for _ in range(5 * SECRETS_MAX)))

    assert all(answers)
    assert hashes.compared == [ADA]


async def test_a_key_that_is_revoked_while_it_is_compared_is_refused(hashes: Hashes) -> None:
    keys = KnownKeys(ADA)
    hashes.is_slow = lambda key: True
    (task,) = await send(keys, [ADA], NAT)
    await eventually(lambda: hashes.compared, "the key is being compared")

    del keys.stored["ada"]
    hashes.may_end.set()

    assert await task is None


@pytest.mark.parametrize("id_", ["ada", "nobody"])
async def test_nothing_is_computed_for_a_client_that_has_left(hashes: Hashes, id_: str) -> None:
    with pytest.raises(ClientDisconnect):
        await KnownKeys(ADA).verify(request(MALLORY, has_left=True), guess(id_))

    assert hashes.compared == []


async def test_nobody_waits_for_ever_and_what_nobody_waits_for_is_not_computed(
    hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_queue, "WAIT_SECONDS", 0.05)
    keys, late = KnownKeys(), guess("late")
    hashes.is_slow = lambda key: True
    tasks = await send(keys, [guess("first")], MALLORY)

    with pytest.raises(Unavailable):
        await keys.verify(request(NAT), late)

    hashes.may_end.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    monkeypatch.setattr(hash_queue, "WAIT_SECONDS", 10)
    await keys.verify(request(NAT), guess("later"))
    assert late not in hashes.compared


async def test_a_text_that_is_no_key_is_not_hashed(hashes: Hashes) -> None:
    assert not await verified(KnownKeys(ADA), "x" * 10_000, MALLORY)
    assert hashes.compared == []


async def test_what_goes_wrong_while_hashing_reaches_the_request(
    hashes: Hashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(key: str, hash_: str | None) -> bool:
        raise MemoryError

    monkeypatch.setattr(console_keys, "matches", fail)

    with pytest.raises(MemoryError):
        await verified(KnownKeys(ADA), ADA, NAT)


async def test_a_key_that_was_created_a_moment_ago_is_looked_for_once_more(hashes: Hashes) -> None:
    keys = KnownKeys(ADA)
    keys.new.add(BEA)

    found = await keys.verify(request(NAT), BEA)

    assert found
    assert found.id == console_keys.key_id(BEA)
    assert hashes.compared == [BEA, BEA], "as long as for an id that nobody has, and then its own"


async def test_a_wrong_key_is_refused_while_the_broker_is_away_and_a_right_one_is_not(hashes: Hashes) -> None:
    """It was answered as unavailable, and not recorded as refused."""
    keys = KnownKeys(ADA)
    keys.broker_is_away = True

    assert not await verified(keys, BEA, MALLORY)
    assert await verified(keys, ADA, NAT)


async def test_the_broker_is_asked_no_oftener_than_a_hash_is_computed(hashes: Hashes) -> None:
    keys = KnownKeys(ADA)

    answers = await asyncio.gather(
        *(keys.verify(request(MALLORY), guess(f"id{number}")) for number in range(GUESSES)),
        return_exceptions=True,
    )

    assert keys.caught_up == answers.count(None) == len(hashes.compared) < GUESSES
