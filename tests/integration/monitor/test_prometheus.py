"""How answers of Prometheus are read, and how they are shared."""

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
    ("response", "expected"),
    [
        (data("vector", [{"metric": {}, "value": [1.5, "0.25"]}]), QueryResult((0.25,))),
        (data("vector", []), QueryResult()),
        (data("scalar", [1.5, "+Inf"]), QueryResult((float("inf"),))),
        (
            data("matrix", []),
            QueryResult(error="the query returns a matrix: it must return one value per series"),
        ),
        (data("vector", [{"metric": {}}]), QueryResult(error="invalid answer from Prometheus")),
        (data("vector", 1), QueryResult(error="invalid answer from Prometheus")),
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
async def test_an_answer_is_values_or_an_error(
    stub: StubPrometheus, response: Any, expected: QueryResult
) -> None:
    stub.answer = lambda query: response

    async with open_prometheus(stub.url, lambda: 0) as client:
        assert await client.query("up", not_before_ms=0) == expected


async def test_a_caller_that_cannot_wait_gets_an_error_and_the_answer_serves_the_next(
    stub: StubPrometheus,
) -> None:
    arrived, may_answer = asyncio.Event(), asyncio.Event()
    respond = stub.respond

    async def slow(request: Any) -> Any:
        arrived.set()
        await may_answer.wait()
        return await respond(request)

    stub.respond_with(slow)
    async with open_prometheus(stub.url, lambda: 0) as client:
        assert (
            await client.query("up", not_before_ms=0, timeout_seconds=0.01)
        ).error == "no answer within 0.01 s"
        await arrived.wait()
        may_answer.set()
        assert (await client.query("up", not_before_ms=0)).values == (0.0,)
    assert stub.queries == ["up"]


@pytest.mark.parametrize("length", [10, 3_000])
async def test_a_query_of_any_length_and_any_letters_arrives(stub: StubPrometheus, length: int) -> None:
    query = f'x{{a="+& %ü{"x" * length}"}}'

    async with open_prometheus(stub.url, lambda: 0) as client:
        await client.query(query, not_before_ms=0)

    assert stub.queries == [query]


@pytest.mark.parametrize("url", ["nonsense", "ftp://host", "http://", "http://host:port"])
def test_an_invalid_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(Misconfigured, match="invalid Prometheus URL"):
        redacted_url(url)


async def test_an_unreachable_prometheus_is_an_error_in_the_answer() -> None:
    async with open_prometheus("http://127.0.0.1:9", lambda: 0) as client:
        assert (await client.query("up", not_before_ms=0)).error == UNREACHABLE


async def test_equal_queries_are_sent_once_as_long_as_the_answer_is_new_enough(stub: StubPrometheus) -> None:
    now = 1_000
    async with open_prometheus(stub.url, lambda: now) as client:
        await asyncio.gather(*(client.query("up", not_before_ms=1_000) for _ in range(50)))
        await client.query("up", not_before_ms=900)
        assert len(stub.queries) == 1

        now = 2_000
        await client.query("up", not_before_ms=1_001)
        assert len(stub.queries) == 2


async def test_the_number_of_queries_under_way_is_bounded(stub: StubPrometheus) -> None:
    release, under_way = asyncio.Event(), 0
    most = 0
    respond = stub.respond

    async def slow(request: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1
        return await respond(request)

    stub.respond_with(slow)
    async with open_prometheus(stub.url, lambda: 0) as client:
        queries = [
            asyncio.create_task(client.query(f"up{n}", not_before_ms=0)) for n in range(3 * QUERIES_MAX)
        ]
        await eventually(lambda: most == QUERIES_MAX, "as many as allowed are under way")
        release.set()
        await asyncio.gather(*queries)

    assert most == QUERIES_MAX
    assert len(stub.queries) == 3 * QUERIES_MAX


def test_a_redacted_address_holds_no_password() -> None:
    assert redacted_url("https://ada:secret@host:9090/x/") == "https://host:9090/x"


async def test_a_token_that_cannot_be_sent_is_an_error_and_not_a_silence(stub: StubPrometheus) -> None:
    async with open_prometheus(stub.url, lambda: 0, "secret\n") as client:
        assert await client.query("up", not_before_ms=0) == QueryResult(error=UNREACHABLE)


def test_the_password_in_an_invalid_url_is_not_shown() -> None:
    with pytest.raises(Misconfigured) as error:
        redacted_url("htp://user:s3cr3t@host:9090")

    assert "s3cr3t" not in str(error.value)
    assert "htp://***@host:9090" in str(error.value)


async def test_two_credentials_are_refused() -> None:
    with pytest.raises(Misconfigured, match="two credentials for Prometheus"):
        async with open_prometheus("http://user:pw@host:9090", lambda: 0, "token"):
            pass
