"""Who shares a request, and whose answer is never an older one."""

import asyncio

import pytest

from sluiceway.messaging.shared_request import SharedRequest
from tests.support.waiting import eventually

CALLERS = 100


class Requests:
    """Requests that were sent, each of which is answered by the test."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[int]] = []

    async def send(self) -> int:
        self.sent.append(asyncio.get_running_loop().create_future())
        return await self.sent[-1]

    async def are_sent(self, count: int) -> None:
        await eventually(lambda: len(self.sent) == count, f"{count} requests are sent")


async def test_all_who_ask_at_the_same_moment_share_one_request() -> None:
    requests = Requests()
    shared = SharedRequest(requests.send)
    callers = [asyncio.create_task(shared.answer()) for _ in range(CALLERS)]

    await requests.are_sent(1)
    requests.sent[0].set_result(7)

    assert await asyncio.gather(*callers) == [7] * CALLERS
    assert len(requests.sent) == 1


async def test_nobody_receives_the_answer_to_a_request_that_was_sent_before_he_asked() -> None:
    requests = Requests()
    shared = SharedRequest(requests.send)
    first = asyncio.create_task(shared.answer())
    await requests.are_sent(1)
    second = asyncio.create_task(shared.answer())
    await requests.are_sent(2)

    requests.sent[0].set_result(1)

    assert await first == 1
    assert not second.done()
    requests.sent[1].set_result(2)
    assert await second == 2


async def test_a_caller_who_gives_up_takes_no_answer_from_the_others() -> None:
    requests = Requests()
    shared = SharedRequest(requests.send)
    impatient, patient = (asyncio.create_task(shared.answer()) for _ in range(2))
    await requests.are_sent(1)

    impatient.cancel()
    await asyncio.wait({impatient})
    requests.sent[0].set_result(3)

    assert impatient.cancelled()
    assert await patient == 3


async def test_an_error_reaches_all_who_share_it_and_nobody_after_them() -> None:
    requests = Requests()
    shared = SharedRequest(requests.send)
    callers = [asyncio.create_task(shared.answer()) for _ in range(2)]
    await requests.are_sent(1)
    requests.sent[0].set_exception(TimeoutError())
    for caller in callers:
        with pytest.raises(TimeoutError):
            await caller

    later = asyncio.create_task(shared.answer())
    await requests.are_sent(2)
    requests.sent[1].set_result(4)

    assert await later == 4
