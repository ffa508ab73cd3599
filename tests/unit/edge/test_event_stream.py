"""A stream ends with its events or with its client, and costs little."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from services.edge.event_stream import EventStreamResponse
from tests.support.waiting import eventually


class Client:
    """What an ASGI server gives to an application."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.has_left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def bodies(self) -> list[bytes]:
        return [message["body"] for message in self.messages if "body" in message]


@pytest.fixture
async def client() -> Client:
    return Client()


async def endless(ended: list[str]) -> AsyncGenerator[bytes, None]:
    try:
        yield b"first"
        await asyncio.Event().wait()
    finally:
        ended.append("ended")


async def two() -> AsyncGenerator[bytes, None]:
    yield b"first"
    yield b"second"


async def held(may_end: asyncio.Event) -> AsyncGenerator[bytes, None]:
    yield b"first"
    await may_end.wait()
    yield b"second"


async def started(client: Client, events: AsyncGenerator[bytes, None]) -> "asyncio.Task[None]":
    response = EventStreamResponse(events, {"cache-control": "no-store"})
    stream = asyncio.create_task(response({}, client.receive, client.send))
    await eventually(lambda: client.bodies, "something is sent")
    return stream


async def test_what_the_generator_yields_is_sent_and_then_the_end(client: Client) -> None:
    await (await started(client, two()))

    headers = dict(client.messages[0]["headers"])
    assert client.bodies == [b"first", b"second", b""]
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store"
    assert b"content-length" not in headers
    assert [message.get("more_body", False) for message in client.messages[1:]] == [True, True, False]


async def test_a_client_that_leaves_ends_the_generator(client: Client) -> None:
    ended: list[str] = []
    stream = await started(client, endless(ended))

    client.has_left.set()
    await asyncio.wait_for(stream, 15)

    assert ended == ["ended"]


async def test_a_client_that_leaves_while_it_is_sent_something_ends_the_generator(client: Client) -> None:
    ended: list[str] = []
    stream = await started(client, endless(ended))
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    slow, ended_too = Client(), list[str]()

    async def send(message: Any) -> None:
        slow.messages.append(message)
        if message.get("body"):
            await asyncio.Event().wait()

    response = EventStreamResponse(endless(ended_too), {})
    stream = asyncio.create_task(response({}, slow.receive, send))
    await eventually(lambda: slow.bodies, "something is sent")
    slow.has_left.set()
    await asyncio.wait_for(stream, 15)

    assert (ended, ended_too) == (["ended"], ["ended"])


async def test_a_server_that_stops_cancels_the_stream(client: Client) -> None:
    """Also if the client leaves at the same moment."""
    ended: list[str] = []
    stream = await started(client, endless(ended))
    client.has_left.set()
    await asyncio.sleep(0)
    stream.cancel()

    with pytest.raises(asyncio.CancelledError):
        await stream
    assert ended == ["ended"]


async def test_a_stream_leaves_no_task_behind(client: Client) -> None:
    before = asyncio.all_tasks()

    may_end = asyncio.Event()
    stream = await started(client, held(may_end))
    most = asyncio.all_tasks() - before
    may_end.set()
    await stream
    await asyncio.sleep(0)

    assert len(most) <= 2
    assert asyncio.all_tasks() == before
