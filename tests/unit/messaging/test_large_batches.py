"""What is published together is handed to the socket in the same turn, unless the broker is slow to read."""

from types import SimpleNamespace
from typing import Any

import pytest
from nats.aio.client import Client

from sluiceway.messaging.message_size import SEND_NOW_BYTES, OutgoingMessage, SizeCheckedClient

LARGE = [OutgoingMessage("to.b", bytes(SEND_NOW_BYTES // 4), "reply") for _ in range(4)]
SMALL = [OutgoingMessage("to.a", b"a")]


class Socket:
    """A socket of which so many bytes are not read yet."""

    def __init__(self, unread: int = 0) -> None:
        self.sent: list[bytes] = []
        self.write = self.sent.append
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: unread)


def connected_client(socket: Socket) -> Any:
    client: Any = SizeCheckedClient()
    client._status, client._max_payload = Client.CONNECTED, 2**20
    client._transport = SimpleNamespace(_io_writer=socket)
    return client


async def test_a_large_batch_goes_out_in_the_same_turn_behind_what_waits_already() -> None:
    socket = Socket()
    client = connected_client(socket)
    await client.publish_all(SMALL)
    assert socket.sent == []

    await client.publish_all(LARGE)

    assert socket.sent == [b"".join(message.frame() for message in [*SMALL, *LARGE])]
    assert (client._pending, client._pending_data_size) == ([], 0)


@pytest.mark.parametrize("is_connected", [True, False])
async def test_a_large_batch_waits_for_a_broker_that_does_not_read(is_connected: bool) -> None:
    socket = Socket(unread=1 if is_connected else 0)
    client = connected_client(socket)
    client._status = Client.CONNECTED if is_connected else Client.RECONNECTING
    client._max_pending_size = 2**20

    await client.publish_all(LARGE)

    assert socket.sent == []
    assert b"".join(client._pending) == b"".join(message.frame() for message in LARGE)
