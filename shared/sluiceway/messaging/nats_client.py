"""nats-py's client, which one stored message cannot stop."""

from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header

#: The reply subject of a message that a consumer delivers from a stream; the broker sets it.
DELIVERED = b"$JS.ACK."
#: A header of a stored message that is the answer to a direct read; the broker sets it.
STREAM = "Nats-Stream"


class StreamClient(Client):
    """A client for streams in which others may have stored anything.

    A subject that is not UTF-8 ended nats-py's reading for good, without an error. And a stored message with
    a header `Status` was taken for a word of the broker's own, such as a heartbeat or *no more messages*.
    """

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        if headers and (reply.startswith(DELIVERED) or STREAM in headers):
            headers.pop(Header.STATUS.value, None)
        subject = subject.decode(errors="backslashreplace").encode()
        message: Any = super()._build_message(sid, subject, reply, data, headers)
        assert isinstance(message, Msg)
        return message
