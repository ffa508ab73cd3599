"""How many held polls and event streams one SDK key may have at an edge."""

from contextlib import AsyncExitStack
from pathlib import Path

from tests.integration.edge.conftest import Served
from tests.support.brokers import Broker
from tests.support.edges import RunningEdge, create_key, running_edge
from tests.support.http import http_client
from tests.support.waiting import eventually

STREAMS_MAX = 10


async def address_of_stream(edge: RunningEdge, key: str) -> str:
    body = {"context": {"targetingKey": "ada"}}
    bulk = await edge.http.post("/ofrep/v1/evaluate/flags", json=body, headers={"x-api-key": key})
    address: str = bulk.json()["eventStreams"][0]["endpoint"]["requestUri"]
    return address


async def test_streams_and_polls_of_one_key_leave_room_for_those_of_another(
    dev: Served, broker: Broker, tmp_path: Path
) -> None:
    other = await create_key(dev.driver, region="dev")
    async with AsyncExitStack() as held:
        edge = await held.enter_async_context(
            running_edge(broker.url, "dev", tmp_path, dev.key, instance="second", streams_per_key=STREAMS_MAX)
        )
        await eventually(lambda: edge.edge.keys.is_authorized(other), "the other key is known")
        address = await address_of_stream(edge, dev.key)
        streams = await held.enter_async_context(http_client(base_url=edge.url, timeout=15))
        lines = []  # a stream that nobody refers to is closed
        for _ in range(STREAMS_MAX):
            opened = await held.enter_async_context(streams.stream("GET", address))
            lines.append(opened.aiter_lines())
            await anext(lines[-1])

        latest = edge.edge.feed.latest()
        assert latest
        newest = {"sinceTime": str(latest.time), "checksum": latest.checksum}
        stream = await edge.http.get(address)
        poll = await edge.http.get("/v2/download_config_specs", params=newest)
        everything = await edge.http.get("/v2/download_config_specs")
        of_other = await held.enter_async_context(streams.stream("GET", await address_of_stream(edge, other)))

    assert [stream.status_code, poll.status_code] == [429, 429]
    assert {answer.headers["retry-after"] for answer in (stream, poll)} == {"5"}
    assert "you have 10 of them" in stream.json()["errorDetails"]
    assert "you have 10 of them" in poll.json()["message"]
    assert (everything.status_code, of_other.status_code) == (200, 200)
