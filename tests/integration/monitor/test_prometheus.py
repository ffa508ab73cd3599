"""What is made of a Prometheus's answers, and how seldom it is asked."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from sluiceway.errors import Misconfigured
from sluiceway.pipelines.measurement import QueryResult
from sluiceway.prometheus import QUERIES_MAX, UNREACHABLE, open_prometheus, redacted_url
from tests.support.prometheus import StubPrometheus, stub_prometheus
from tests.support.waiting import eventually


@pytest.fixture
async def stub() -> AsyncIterator[StubPrometheus]:
    async with stub_prometheus() as stub:
        yield stub


def data(kind: str, result: Any) -> JSONResponse:
    return JSONResponse({"status": "success", "data": {"resultType": kind, "result": result}})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (data("vector", [{"metric": {}, "value": [1.5, "0.25"]}]), QueryResult((0.25,))),
        (data("vector", []), QueryResult()),
        (data("scalar", [1.5, "+Inf"]), QueryResult((float("inf"),))),
        (data("matrix", []), QueryResult(error="the query gives a matrix, not one value for each series")),
        (data("vector", [{"metric": {}}]), QueryResult(error="the answer of Prometheus cannot be read")),
        (data("vector", 1), QueryResult(error="the answer of Prometheus cannot be read")),
        (PlainTextResponse("<html>"), QueryResult(error="Prometheus answered 200")),
        (JSONResponse([1]), QueryResult(error="Prometheus answered 200")),
        (PlainTextResponse("no", 503), QueryResult(error="Prometheus answered 503")),
        (RedirectResponse("/login", 302), QueryResult(error="Prometheus answered 302")),
        (
            JSONResponse({"status": "error", "errorType": "execution", "error": "many-to-many"}, 422),
            QueryResult(error="Prometheus answered 422 execution: many-to-many"),
        ),
    ],
)
async def test_an_answer_is_values_or_what_is_wrong(
    stub: StubPrometheus, said: Any, expected: QueryResult
) -> None:
    stub.says = lambda query: said

    async with open_prometheus(stub.url, lambda: 0) as asked:
        assert await asked.query("up", not_before_ms=0) == expected


async def test_who_cannot_wait_gets_an_error_and_the_answer_serves_the_next(stub: StubPrometheus) -> None:
    arrived, may_answer = asyncio.Event(), asyncio.Event()
    answer = stub._query

    async def slow(request: Any) -> Any:
        arrived.set()
        await may_answer.wait()
        return await answer(request)

    stub.answer_with(slow)
    async with open_prometheus(stub.url, lambda: 0) as asked:
        assert (
            await asked.query("up", not_before_ms=0, timeout_seconds=0.01)
        ).error == "no answer within 0.01 s"
        await arrived.wait()
        may_answer.set()
        assert (await asked.query("up", not_before_ms=0)).values == (0.0,)
    assert stub.asked == ["up"]


@pytest.mark.parametrize("length", [10, 3_000])
async def test_a_query_of_any_length_and_any_letters_arrives(stub: StubPrometheus, length: int) -> None:
    query = f'x{{a="+& %ü{"x" * length}"}}'

    async with open_prometheus(stub.url, lambda: 0) as asked:
        await asked.query(query, not_before_ms=0)

    assert stub.asked == [query]


@pytest.mark.parametrize("url", ["nonsense", "ftp://host", "http://", "http://host:port"])
def test_what_is_no_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(Misconfigured, match="no address of a Prometheus"):
        redacted_url(url)


async def test_nobody_there_is_an_answer_too() -> None:
    async with open_prometheus("http://127.0.0.1:9", lambda: 0) as asked:
        assert (await asked.query("up", not_before_ms=0)).error == UNREACHABLE


async def test_equal_queries_are_asked_once_as_long_as_the_answer_is_new_enough(stub: StubPrometheus) -> None:
    now = 1_000
    async with open_prometheus(stub.url, lambda: now) as asked:
        await asyncio.gather(*(asked.query("up", not_before_ms=1_000) for _ in range(50)))
        await asked.query("up", not_before_ms=900)
        assert len(stub.asked) == 1

        now = 2_000
        await asked.query("up", not_before_ms=1_001)
        assert len(stub.asked) == 2


async def test_so_many_queries_are_under_way_at_once_and_no_more(stub: StubPrometheus) -> None:
    release, under_way = asyncio.Event(), 0
    most = 0
    answer = stub._query

    async def slow(request: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1
        return await answer(request)

    stub.answer_with(slow)
    async with open_prometheus(stub.url, lambda: 0) as asked:
        queries = [
            asyncio.create_task(asked.query(f"up{n}", not_before_ms=0)) for n in range(3 * QUERIES_MAX)
        ]
        await eventually(lambda: most == QUERIES_MAX, "as many as allowed are under way")
        release.set()
        await asyncio.gather(*queries)

    assert most == QUERIES_MAX
    assert len(stub.asked) == 3 * QUERIES_MAX


def test_what_is_shown_of_an_address_holds_no_password() -> None:
    assert redacted_url("https://ada:secret@host:9090/x/") == "https://host:9090/x"
