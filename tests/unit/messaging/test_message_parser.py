"""Messages are read as by nats-py, however they arrive, without a regular expression for each."""

from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol import parser as nats_parser
from nats.protocol.parser import Parser

from sluiceway.messaging.message_parser import MessageParser

#: A message of this size comes in many pieces.
LARGE_BYTES = 128 * 1024
#: Subjects that the broker lets pass, and that nats-py takes for an error of the protocol.
BLANK_SUBJECTS = [b"a\x0bb", b"a.\x0c", b"\x0b", b"a\x1c\x1d\x1e\x1fb", b"a\x85\xa0b"]


class Received(NamedTuple):
    """What a client is given."""

    sid: int
    subject: bytes
    reply: bytes
    data: bytes
    headers: bytes | None


class FakeClient:
    """Keeps what it is given; a message to `lose` ends the connection, as a client that is closed does."""

    def __init__(self, parser: type[Parser]) -> None:
        self.received: list[Received | str] = []
        self.parser = parser(self)

    async def _process_msg(self, *message: Any) -> None:
        self.received.append(Received(*message))
        if message[1] == b"lose":
            self.parser.reset()

    async def _process_ping(self) -> None:
        self.received.append("ping")

    async def _process_pong(self) -> None:
        self.received.append("pong")

    async def _process_err(self, text: str) -> None:
        self.received.append(text)


async def read(parser: type[Parser], *pieces: bytes) -> list[Received | str]:
    client = FakeClient(parser)
    for piece in pieces:
        await client.parser.parse(piece)
    return client.received


def a_message(
    data: bytes = b"{}", *, subject: bytes = b"a.b", reply: bytes = b"", headers: bytes = b""
) -> bytes:
    words = [b"HMSG" if headers else b"MSG", subject, b"7", *([reply] if reply else [])]
    words += [b"%d" % len(headers)] * bool(headers) + [b"%d" % (len(headers) + len(data))]
    return b" ".join(words) + b"\r\n" + headers + data + b"\r\n"


def messages(subjects: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(
        a_message,
        st.binary(max_size=30) | st.just(b"\r\nMSG a 1 2\r\n"),
        subject=st.sampled_from(subjects),
        reply=st.sampled_from([b"", b"_INBOX.1"]),
        headers=st.sampled_from([b"", b"NATS/1.0\r\nName: value\r\n\r\n", b"NATS/1.0 503\r\n\r\n"]),
    )


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted(min(each, len(data)) for each in cuts)
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


MESSAGES = messages([b"a", b"sluiceway.features.gate.x", "é".encode(), b"\xff"])
OTHERS = st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'no'\r\n"])


@given(operations=st.lists(MESSAGES | OTHERS, max_size=8), cuts=st.lists(st.integers(0, 400)))
async def test_however_messages_are_cut_they_are_those_that_nats_py_reads(
    operations: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(operations)

    assert await read(MessageParser, *cut(data, cuts)) == await read(Parser, data)


@given(
    sent=st.lists(
        st.builds(
            Received,
            st.just(7),
            st.sampled_from([b"a", *BLANK_SUBJECTS]),
            st.sampled_from([b"", b"_INBOX.1"]),
            st.binary(max_size=30) | st.integers(LARGE_BYTES - 50, LARGE_BYTES + 50).map(bytes),
            st.sampled_from([None, b"NATS/1.0\r\nName: value\r\n\r\n"]),
        ),
        max_size=5,
    ),
    others=st.lists(OTHERS, min_size=5, max_size=5),
    cuts=st.lists(st.integers(0, 100) | st.integers(0, 5 * LARGE_BYTES), max_size=8),
)
async def test_whatever_the_subject_and_the_size_what_was_sent_is_received(
    sent: list[Received], others: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(
        other
        + a_message(
            message.data, subject=message.subject, reply=message.reply, headers=message.headers or b""
        )
        for message, other in zip(sent, others, strict=False)
    )

    received = await read(MessageParser, *cut(data, cuts))

    assert [message for message in received if isinstance(message, Received)] == sent


@pytest.mark.parametrize("size", [LARGE_BYTES - 40, LARGE_BYTES, 5 * LARGE_BYTES])
async def test_a_large_message_in_many_pieces_is_one(size: int) -> None:
    data = a_message() + a_message(b"x" * size) + a_message(reply=b"r")
    pieces = [data[at : at + 4_096] for at in range(0, len(data), 4_096)]

    assert await read(MessageParser, *pieces) == await read(Parser, data)


async def test_no_regular_expression_is_tried_on_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_parser, "MSG_RE", None)
    monkeypatch.setattr(nats_parser, "HMSG_RE", None)
    data = (a_message() + a_message(headers=b"NATS/1.0\r\nA: b\r\n\r\n")) * 10

    assert len(await read(MessageParser, data[:-5], data[-5:])) == 20


async def test_what_follows_on_a_lost_connection_is_left_out() -> None:
    data = a_message() + a_message(subject=b"lose") + a_message()

    received = await read(MessageParser, data, a_message(b"new"))

    assert [message.data for message in received if isinstance(message, Received)] == [b"{}", b"{}", b"new"]


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a x 2\r\n{}\r\n",
        b"MSG\r\n",
        b"MSG a 1 2 3 4 5\r\n",
        b"MSG a 1 -2\r\n",
        b"HMSG\r\n",
        b"HMSG a 1 2\r\n",
        b"HMSG a 1 x 2\r\n",
        b"NONSENSE\r\n",
        b"N" * 5_000 + b"\r\n",
    ],
)
async def test_what_is_no_message_is_an_error_of_the_protocol(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        await read(MessageParser, a_message() + line)
