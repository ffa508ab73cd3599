"""One request for what many ask at the same moment."""

import asyncio
from collections.abc import Sequence

import pytest

from sluiceway.messaging.batched_requests import BatchedRequests


class Squares:
    """Answers with squares, but to no negative number; each request waits until it is let go."""

    def __init__(self) -> None:
        self.requests: list[Sequence[int]] = []
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()
        self.error: Exception | None = None

    async def send(self, numbers: Sequence[int]) -> dict[int, int]:
        self.requests.append(numbers)
        self.asked.set()
        await self.let_go.wait()
        if self.error:
            raise self.error
        return {number: number**2 for number in numbers if number >= 0}


def batched(
    squares: Squares, *, questions_max: int = 100, requests_max: int = 1
) -> BatchedRequests[int, int]:
    return BatchedRequests(squares.send, questions_max=questions_max, requests_max=requests_max)


async def test_all_who_ask_in_one_pass_of_the_loop_cost_one_request() -> None:
    squares = Squares()
    requests = batched(squares)

    answers = await asyncio.gather(*(requests.answers([number, number + 1]) for number in range(50)))

    assert answers[7] == {7: 49, 8: 64}
    assert squares.requests == [tuple(range(51))]


async def test_a_request_has_a_bounded_number_of_questions() -> None:
    squares = Squares()

    answers = await batched(squares, questions_max=20).answers(range(50))

    assert answers == {number: number**2 for number in range(50)}
    assert [len(numbers) for numbers in squares.requests] == [20, 20, 10]


async def test_questions_gather_while_a_request_is_under_way_and_none_is_answered_from_before() -> None:
    squares = Squares()
    requests = batched(squares)
    squares.let_go.clear()
    first = asyncio.create_task(requests.answers([1]))
    await squares.asked.wait()

    later = [asyncio.create_task(requests.answers([number])) for number in (1, 2)]
    await asyncio.sleep(0)
    later.append(asyncio.create_task(requests.answers([3])))
    await asyncio.sleep(0)
    sent_meanwhile = list(squares.requests)
    squares.let_go.set()

    assert await first == {1: 1}
    assert [await task for task in later] == [{1: 1}, {2: 4}, {3: 9}]
    assert (sent_meanwhile, squares.requests) == ([(1,)], [(1,), (1, 2, 3)])


async def test_a_question_without_an_answer_is_left_out() -> None:
    assert await batched(Squares()).answers([-1, 2]) == {2: 4}


async def test_everybody_hears_of_an_error_and_the_next_request_is_sent() -> None:
    squares = Squares()
    requests, squares.error = batched(squares), ValueError("no squares today")

    results = await asyncio.gather(requests.answers([1]), requests.answers([2]), return_exceptions=True)
    squares.error = None

    assert [str(result) for result in results] == ["no squares today"] * 2
    assert await requests.answers([3]) == {3: 9}


async def test_who_gives_up_takes_no_answer_from_the_others() -> None:
    squares = Squares()
    requests = batched(squares)
    squares.let_go.clear()
    impatient, patient = (asyncio.create_task(requests.answers([number])) for number in (1, 2))
    await squares.asked.wait()

    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    squares.let_go.set()

    assert await patient == {2: 4}
