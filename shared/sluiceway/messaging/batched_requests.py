"""One request for what many callers ask at the same moment."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class _Batch(Generic[Question, Answer]):
    """Questions that are asked together; it takes more of them until it is sent."""

    def __init__(self) -> None:
        self.questions: dict[Question, None] = {}
        self.answers: asyncio.Task[Mapping[Question, Answer]] | None = None


class BatchedRequests(Generic[Question, Answer]):
    """Sends one request for the questions of all callers of the same pass of the loop.

    While as many requests as allowed are under way, questions gather for the next one. No caller receives
    the answer to a request that was sent before its call: it may be out of date.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Question]], Awaitable[Mapping[Question, Answer]]],
        *,
        questions_max: int,
        requests_max: int,
    ) -> None:
        """`questions_max`: of one request; `requests_max`: sent at the same time."""
        self._send = send
        self._questions_max = questions_max
        self._free = asyncio.Semaphore(requests_max)
        self._unsent: _Batch[Question, Answer] | None = None
        self._running: set[asyncio.Task[Mapping[Question, Answer]]] = set()

    async def answers(self, questions: Iterable[Question]) -> dict[Question, Answer]:
        """Return the answer to each question that has one; raise what `send` raises."""
        batches = {question: self._batch_of(question) for question in questions}
        for batch in dict.fromkeys(batches.values()):
            assert batch.answers
            await asyncio.shield(batch.answers)  # one caller that gives up takes no answer from the others
        return {
            question: answers[question]
            for question, batch in batches.items()
            if batch.answers and question in (answers := batch.answers.result())
        }

    def _batch_of(self, question: Question) -> _Batch[Question, Answer]:
        """Put a question into the request that is sent next."""
        batch = self._unsent
        if batch is None or len(batch.questions) >= self._questions_max:
            batch = self._unsent = _Batch()
            batch.answers = asyncio.create_task(self._run(batch))
            self._running.add(batch.answers)
            batch.answers.add_done_callback(self._running.discard)
        batch.questions[question] = None
        return batch

    async def _run(self, batch: _Batch[Question, Answer]) -> Mapping[Question, Answer]:
        async with self._free:
            if self._unsent is batch:
                self._unsent = None
            return await self._send(tuple(batch.questions))
