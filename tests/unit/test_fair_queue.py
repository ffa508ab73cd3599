"""Senders take turns, whatever each of them sends."""

import asyncio
from itertools import pairwise

import pytest

from sluiceway import fair_queue
from sluiceway.fair_queue import RATE_WAIT_SECONDS, FairQueue, SenderLimits
from tests.support.waiting import eventually

UNLIMITED = SenderLimits(per_second=None, burst=0, waiting=1_000, working=1)


class Worker:
    """Works on items one after the other, in the order in which they are handed to it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.most_at_once = 0
        self.may_end = asyncio.Event()
        self._now = 0

    async def work(self, item: str) -> None:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await self.may_end.wait()
        self._now -= 1
        if item == "error":
            raise ValueError(item)
        self.done.append(item)

    async def has_done(self, count: int) -> list[str]:
        self.may_end.set()
        return await eventually(lambda: self.done if len(self.done) >= count else None, "they are done")


async def test_one_item_waits_for_one_item_of_each_other_sender_and_no_more() -> None:
    worker = Worker()
    queue = FairQueue(worker.work, workers=1)

    for number in range(1_000):
        queue.put("mallory", UNLIMITED, f"mallory {number}", 1)
    queue.put("ada", UNLIMITED, "ada", 1)
    queue.put("bea", UNLIMITED, "bea", 1)
    done = await worker.has_done(1_002)

    assert done[:5] == ["mallory 0", "ada", "bea", "mallory 1", "mallory 2"]


async def test_the_items_of_a_sender_keep_their_order() -> None:
    worker = Worker()
    queue = FairQueue(worker.work, workers=8)

    for number in range(50):
        queue.put("ada", UNLIMITED, f"{number:02}", 1)
    done = await worker.has_done(50)

    assert all(before < after for before, after in pairwise(done))


@pytest.mark.parametrize(("working", "workers", "expected"), [(2, 8, 2), (8, 3, 3)])
async def test_no_more_is_in_work_than_a_sender_and_the_queue_may_have(
    working: int, workers: int, expected: int
) -> None:
    worker = Worker()
    queue = FairQueue(worker.work, workers)

    for number in range(20):
        queue.put("ada", UNLIMITED._replace(working=working), str(number), 1)
    await asyncio.sleep(0)
    await worker.has_done(20)

    assert worker.most_at_once == expected


async def test_what_does_not_fit_is_turned_away_and_others_get_in() -> None:
    worker = Worker()
    queue = FairQueue(worker.work, workers=1)
    limits = UNLIMITED._replace(waiting=5)

    answers = [queue.put("mallory", limits, str(number), 1) for number in range(100)]
    others = queue.put("ada", limits, "ada", 1)

    assert answers.count(None) == 6  # one is in work
    assert set(answers) == {None, RATE_WAIT_SECONDS}
    assert others is None


async def test_a_full_memory_turns_away_only_those_who_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "WAITING_BYTES_MAX", 100_000)
    queue = FairQueue(Worker().work, workers=1)

    answers = [queue.put("mallory", UNLIMITED, str(number), 40_000) for number in range(9)]
    others = [queue.put(name, UNLIMITED, name, 40_000) for name in ("ada", "bea")]

    assert answers.count(None) == 3  # one is in work, two wait
    assert others == [None, None]


async def test_made_up_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_queue, "WAITING_BYTES_HARD_MAX", 100_000)
    queue = FairQueue(Worker().work, workers=1)

    answers = [queue.put(f"mallory {number}", UNLIMITED, "x", 1) for number in range(10_000)]

    assert answers.count(None) <= 100


async def test_a_burst_gets_in_at_once_and_then_the_rate_counts() -> None:
    worker, now = Worker(), 100.0
    limits = SenderLimits(per_second=10, burst=20, waiting=1_000, working=1_000)
    queue = FairQueue(worker.work, 1_000, clock=lambda: now)

    answers = [queue.put("ada", limits, str(number), 1) for number in range(30)]
    at_once = len(await worker.has_done(20))
    now += 1
    later = [queue.put("ada", limits, "later", 1) for _ in range(30)]

    assert (at_once, answers.count(None)) == (20, 20 + 5)  # five come up within the time that one may wait
    assert answers[-1] == pytest.approx(0.6)
    assert later.count(None) == 10


async def test_a_sender_who_is_turned_away_again_and_again_is_not_turned_away_for_longer() -> None:
    now = 0.0
    limits = SenderLimits(per_second=10, burst=1, waiting=1_000, working=1)
    queue = FairQueue(Worker().work, 1, clock=lambda: now)

    waits = {queue.put("mallory", limits, str(number), 1) for number in range(10_000)}

    assert max(wait or 0 for wait in waits) <= RATE_WAIT_SECONDS + 1 / 10


async def test_an_internal_error_ends_no_other_item() -> None:
    worker = Worker()
    queue = FairQueue(worker.work, workers=1)

    for item in ("error", "ada"):
        queue.put("ada", UNLIMITED, item, 1)

    assert await worker.has_done(1) == ["ada"]


async def test_closing_ends_what_is_in_work_and_starts_nothing_more() -> None:
    worker = Worker()
    queue = FairQueue(worker.work, workers=1)
    for item in ("in work", "waiting"):
        queue.put("ada", UNLIMITED, item, 1)

    asyncio.get_running_loop().call_soon(worker.may_end.set)
    await queue.close(within_seconds=10)

    assert worker.done == ["in work"]
