"""The size of a message is that of its bytes on the wire, and nothing is published without a look at it."""

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import BadHeaderError, OutboundBufferLimitError

from sluiceway.errors import MessageTooLarge, Rejected
from sluiceway.messaging.message_size import (
    OutgoingMessage,
    SizeCheckedClient,
    check_size,
    encode_headers,
    header_bytes,
)
from sluiceway.messaging.tls import TlsClient

ROOT = Path(__file__).parents[3]
CODE = [*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")]
#: What opens a connection → the only files that may call it. The interface description connects to nothing.
CONNECTS = {
    "Client": set[str](),
    "NatsBroker": {"services/asyncapi.py"},
    "IdentityCheckedClient": {"shared/sluiceway/messaging/tls.py"},
    "SizeCheckedClient": set[str](),
    "TlsClient": {"shared/sluiceway/messaging/tls.py"},
}
#: Methods of nats-py that write a message, and the names that its clients have here.
PUBLISHES = {"publish", "publish_all", "publish_now", "publish_async", "request", "request_all", "respond"}
CLIENTS = {"client", "_client", "js", "_js", "message", "replies", "_replies"}
#: The only files outside of `messaging` that may use them: for a question to the monitor and its answer, an
#: error reply, a request for alerts, and heartbeats.
ASKS = {
    "services/evaluator_publisher/heartbeats.py",
    "services/scheduler/clearance_client.py",
    "services/scheduler/command_intake.py",
    "services/monitor/clearance_subscription.py",
    "services/monitor/alert_consumer.py",
}

HEADERS = st.dictionaries(st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True), st.text(max_size=50), max_size=5)


class RecordingClient(Client):
    """Encodes messages as nats-py does, and sends them nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    async def _send_command(self, cmd: bytes, priority: bool = False) -> None:
        self.sent = cmd


@given(headers=HEADERS)
async def test_the_size_of_headers_is_that_of_their_bytes_on_the_wire(headers: dict[str, str]) -> None:
    client = RecordingClient()

    await client._send_publish("a", "", b"body", 4, headers)

    line, _, rest = client.sent.partition(b"\r\n")
    assert int(line.split()[-1]) == header_bytes(headers) + 4
    assert len(rest) == header_bytes(headers) + len(b"body\r\n")


@given(headers=HEADERS, data=st.binary(max_size=20), reply=st.sampled_from(("", "_INBOX.a.1")))
async def test_messages_are_encoded_as_nats_py_does(headers: dict[str, str], data: bytes, reply: str) -> None:
    client = RecordingClient()
    for sent in (headers, None):
        await client._send_publish("a.b", reply, data, len(data), sent)

        assert OutgoingMessage("a.b", data, reply, encode_headers(sent)).frame() == client.sent


@pytest.mark.parametrize("name", ["", " ", "a b", "a:b", "ä", "a\r\nb"])
async def test_the_name_of_a_header_is_refused_or_left_out_as_by_nats_py(name: str) -> None:
    client = RecordingClient()
    try:
        await client._send_publish("a", "", b"", 0, {name: "x"})
    except BadHeaderError:
        with pytest.raises(BadHeaderError):
            encode_headers({name: "x"})
    else:
        assert encode_headers({name: "x"}) in client.sent


@given(headers=HEADERS, size=st.integers(0, 50))
def test_a_message_with_encoded_headers_has_the_same_limit(headers: dict[str, str], size: int) -> None:
    message = OutgoingMessage("a", bytes(size), headers=encode_headers(headers))
    whole = size + header_bytes(headers)

    message.check(whole)
    with pytest.raises(MessageTooLarge):
        message.check(whole - 1)


@given(headers=HEADERS, size=st.integers(0, 50), subject=st.text(max_size=20))
def test_the_limit_is_exact_whatever_the_characters(headers: dict[str, str], size: int, subject: str) -> None:
    whole = size + header_bytes(headers)

    check_size(subject, bytes(size), headers, whole)
    with pytest.raises(MessageTooLarge):
        check_size(subject, bytes(size), headers, whole - 1)


def test_what_is_too_large_is_rejected_with_its_numbers_and_never_tried_again() -> None:
    with pytest.raises(MessageTooLarge, match="on a has 21 bytes with its headers") as refused:
        check_size("a", b"1234", {"b": ""}, 20)

    assert isinstance(refused.value, Rejected)
    assert (refused.value.size, refused.value.size_max, refused.value.header_size) == (21, 20, 17)


def test_every_client_looks_at_the_size() -> None:
    wrong = [
        f"{path}:{call.lineno}: {name}"
        for path, call in _calls()
        if (name := _name(call.func)) in CONNECTS and path not in CONNECTS[name]
    ]

    assert wrong == []
    assert issubclass(SizeCheckedClient, Client)
    assert issubclass(TlsClient, SizeCheckedClient)


def test_only_the_adapters_of_the_broker_publish() -> None:
    wrong = [
        f"{path}:{call.lineno}"
        for path, call in _calls()
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in PUBLISHES
        and _name(call.func.value) in CLIENTS
        and not path.startswith("shared/sluiceway/messaging/")
        and path not in ASKS
    ]

    assert wrong == []


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for file in CODE:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield file.relative_to(ROOT).as_posix(), node


def _name(node: Any) -> str:
    """Return the last name of `a.b.c`; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


async def test_what_is_published_while_messages_are_read_is_sent_with_the_rest_or_left_out() -> None:
    client = a_connected_client()
    await client.publish_all([OutgoingMessage("a", b"1")])
    client.publish_now(OutgoingMessage("a", b"2"))

    assert client._pending == [b"PUB a  1\r\n1\r\n", b"PUB a  1\r\n2\r\n"]
    assert client._flush_queue is not None
    assert client._flush_queue.qsize() == 1

    client._max_pending_size = client._pending_data_size

    with pytest.raises(OutboundBufferLimitError):
        client.publish_now(OutgoingMessage("a", b"3"))
    with pytest.raises(MessageTooLarge):
        client.publish_now(OutgoingMessage("a", bytes(client.max_payload + 1)))
    assert len(client._pending) == 2


def a_connected_client() -> SizeCheckedClient:
    """Return a client that takes itself for connected; what it sends stays in its buffer."""
    client = SizeCheckedClient()
    client._status, client._max_payload, client._max_pending_size = Client.CONNECTED, 1_000, 100_000
    client._flush_queue, client._flusher_task = asyncio.Queue(), asyncio.current_task()
    return client
