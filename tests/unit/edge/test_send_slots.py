"""How many streams of a key are sent a large message at the same time."""

import asyncio

import pytest

from services.edge import send_slots
from services.edge.send_slots import SENT_AT_ONCE, SendSlots
from tests.support.waiting import eventually


async def send(slots: SendSlots, key: str, sending: list[str], is_read: asyncio.Event) -> None:
    async with slots.of(key):
        sending.append(key)
        await is_read.wait()


async def test_a_key_sends_to_a_bounded_number_of_streams_and_another_does_not_wait() -> None:
    slots, sending, is_read = SendSlots(), list[str](), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(3 * SENT_AT_ONCE):
            group.create_task(send(slots, "slow", sending, is_read))
        group.create_task(send(slots, "other", sending, is_read))
        await eventually(lambda: "other" in sending, "the other key sends")
        at_once = sending.count("slow")
        is_read.set()

    assert at_once == SENT_AT_ONCE
    assert sending.count("slow") == 3 * SENT_AT_ONCE


async def test_clients_that_do_not_read_delay_the_others_of_their_key_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(send_slots, "SLOT_SECONDS", 0.01)
    slots, sending, never, is_read = SendSlots(), list[str](), asyncio.Event(), asyncio.Event()
    is_read.set()
    slow = [asyncio.create_task(send(slots, "key", sending, never)) for _ in range(SENT_AT_ONCE)]
    await eventually(lambda: len(sending) == SENT_AT_ONCE, "all slots are taken")

    await asyncio.wait_for(send(slots, "key", sending, is_read), 15)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)

    monkeypatch.setattr(send_slots, "SLOT_SECONDS", 1_000)
    again = [asyncio.create_task(send(slots, "key", sending, never)) for _ in range(2 * SENT_AT_ONCE)]
    await eventually(lambda: len(sending) == 2 * SENT_AT_ONCE + 1, "the slots are taken again")
    await asyncio.sleep(0)
    assert len(sending) == 2 * SENT_AT_ONCE + 1  # a slot that was given back is not given back twice
    for task in again:
        task.cancel()


async def test_who_waits_in_vain_takes_no_slot() -> None:
    slots, sending, is_read = SendSlots(), list[str](), asyncio.Event()
    first = [asyncio.create_task(send(slots, "key", sending, is_read)) for _ in range(SENT_AT_ONCE)]
    left = [asyncio.create_task(send(slots, "key", sending, is_read)) for _ in range(SENT_AT_ONCE)]
    await eventually(lambda: len(sending) == SENT_AT_ONCE, "all slots are taken")
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)

    is_read.set()
    await asyncio.gather(*first)
    await asyncio.gather(*(send(slots, "key", sending, is_read) for _ in range(SENT_AT_ONCE)))

    assert len(sending) == 2 * SENT_AT_ONCE
