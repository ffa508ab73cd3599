"""What an edge serves is recorded once, for as long as it is the same."""

import asyncio
from pathlib import Path

import httpx2

from tests.chaos.hosts import Host
from tests.chaos.processes import HostProcess
from tests.chaos.samples import EdgeSamples
from tests.support.edges import gate_document


class RunningProcess(HostProcess):
    """A process that runs on, without a fault."""

    @property
    def is_running(self) -> bool:
        return True


class Edge:
    """An edge whose answers are a list; None is an error."""

    def __init__(self, *answers: list[bytes] | None) -> None:
        self._answers = [*answers, None]
        self._task: asyncio.Task[None] | None = None
        process = RunningProcess(
            "edge-dev-1", Host(1, "none"), (), health="http://edge/readyz", log=Path("none"), on_end=print
        )
        self.samples = EdgeSamples(process, "dev", "key")

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/sluiceway/v1/rules"
        assert self._task
        documents = self._answers.pop(0)
        if not self._answers:
            self._task.cancel()
        if documents is None:
            return httpx2.Response(503)
        return httpx2.Response(200, content=b'{"documents":[' + b",".join(documents) + b"]}")

    async def ask_until_the_end(self) -> None:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer)) as http:
            self._task = asyncio.create_task(self.samples.run(http, every_seconds=0))
            await asyncio.wait([self._task])


async def test_equal_answers_are_one_record_and_a_new_revision_is_another() -> None:
    edge = Edge([gate_document("a", 1)], [gate_document("a", 1)], [gate_document("a", 2)])

    await edge.ask_until_the_end()

    assert [(served.feature, served.revision) for served in edge.samples.served()] == [
        ("gate.a", 1),
        ("gate.a", 2),
    ]


async def test_a_feature_that_the_next_answer_lacks_is_absent() -> None:
    edge = Edge([gate_document("a"), gate_document("b")], None, [gate_document("b")])

    await edge.ask_until_the_end()

    absent = {served.feature: served.absent_ms is not None for served in edge.samples.served()}
    assert absent == {"gate.a": True, "gate.b": False}


async def test_an_edge_that_answers_with_an_error_after_it_has_served_is_recorded() -> None:
    edge = Edge(None, [gate_document("a")])

    await edge.ask_until_the_end()

    assert [error.status for error in edge.samples.unserved] == [503]
