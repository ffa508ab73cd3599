"""Headers are read as by nats-py, and faster."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client

from sluiceway.messaging import nats_client
from sluiceway.messaging.message_size import encode_headers
from sluiceway.messaging.nats_client import NAMES_MAX, StreamClient

#: Pieces of which both, what we write and what nobody should, can be made.
PIECES = st.sampled_from(
    [
        "Status",
        "Nats-Sequence",
        ":",
        ": ",
        " ",
        "\t",
        "\r\n",
        "\r",
        "\n",
        "\v",
        "\x1c",
        "\x00",
        "é",
        "100",
        "",
    ]
)


@given(pieces=st.lists(PIECES | st.text(max_size=5), max_size=20))
@example(pieces=["a\x1c", ":", "\x1cb\x1c", "\r\n", "\x0bc", ":", "d\x85"])
def test_headers_are_those_that_nats_py_reads(pieces: list[str]) -> None:
    raw = "".join(pieces).encode("utf-8", "surrogatepass")

    assert StreamClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


@given(raw=st.binary(max_size=40))
def test_whatever_the_bytes_are(raw: bytes) -> None:
    assert StreamClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


async def test_a_client_reads_the_headers_of_a_message_in_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: bytes) -> dict[str, str]:
        raise AssertionError("the slow way")

    monkeypatch.setattr(Client, "_parse_header_lines", staticmethod(refuse))
    headers = {"ce-type": "sluiceway.phase_advanced", "Sluiceway-Status": "IN_PROGRESS", "empty": ""}

    assert await StreamClient()._process_headers(encode_headers(headers)) == headers


def test_no_more_names_are_remembered_than_may_be() -> None:
    for number in range(2 * NAMES_MAX):
        StreamClient._parse_header_lines(f"Name-{number}: x\r\n".encode())

    assert nats_client._header_name.cache_info().currsize == NAMES_MAX
