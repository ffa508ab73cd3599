"""Head and body of a response are one packet, and nothing waits that would not be sent soon."""

import asyncio
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from typing import Any

import pytest

from sluiceway.http.joined_writes import JoinedWrites
from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings
from tests.support.http import http_client

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Sent(asyncio.Transport):
    """Records what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close


@pytest.fixture
async def sent() -> Sent:
    return Sent()


@pytest.fixture
async def joined(sent: Sent) -> JoinedWrites:
    return JoinedWrites(sent, asyncio.get_running_loop())


async def test_head_and_body_are_sent_together(joined: JoinedWrites, sent: Sent) -> None:
    joined.write(HEAD)
    joined.write(memoryview(b"ok"))
    joined.write(b"more")
    await asyncio.sleep(0)

    assert sent.writes == [HEAD + b"ok", b"more"]


async def test_a_head_whose_body_takes_longer_is_sent_alone(joined: JoinedWrites, sent: Sent) -> None:
    joined.write(HEAD)
    held = joined.get_write_buffer_size()
    await asyncio.sleep(0)
    joined.write(b"ok")

    assert held == len(HEAD)
    assert sent.writes == [HEAD, b"ok"]


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"data: x\n\n", b"", b"HTTP/1.1 200"])
async def test_what_no_body_follows_is_not_kept(joined: JoinedWrites, sent: Sent, interim: bytes) -> None:
    joined.write(interim)

    assert sent.writes == [interim]


async def test_several_responses_keep_their_order(joined: JoinedWrites, sent: Sent) -> None:
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    for data in (HEAD, b"a1", empty, HEAD, b"a2", empty):
        joined.write(data)
    await asyncio.sleep(0)

    assert b"".join(sent.writes) == HEAD + b"a1" + empty + HEAD + b"a2" + empty


async def test_a_head_is_sent_before_the_connection_is_closed(joined: JoinedWrites, sent: Sent) -> None:
    joined.write(HEAD)
    joined.close()
    await asyncio.sleep(0)

    assert (sent.writes, joined.is_closing()) == ([HEAD], True)


async def test_an_aborted_connection_sends_nothing_more(joined: JoinedWrites, sent: Sent) -> None:
    joined.write(HEAD)
    joined.abort()
    await asyncio.sleep(0)

    assert sent.writes == []


async def test_a_server_sends_each_answer_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    write = _SelectorSocketTransport.write

    def recording(self: Any, data: Any) -> None:
        writes.append(bytes(data))
        write(self, data)

    async def readiness() -> dict[str, str]:
        return {}

    monkeypatch.setattr(_SelectorSocketTransport, "write", recording)
    async with (
        health_server(ServiceSettings(), readiness) as url,
        http_client(base_url=url) as http,
    ):
        for _ in range(3):
            answer = await http.get("/readyz")

    answers = [data for data in writes if data.startswith(b"HTTP/1.1 200")]
    assert len(answers) == 3
    assert all(answer.content in data for data in answers)
