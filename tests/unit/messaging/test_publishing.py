"""Which answers of a broker count as a conflict."""

from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.errors import APIError

from sluiceway.errors import Conflict, Unavailable
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.publishing import ConditionalMessage, StreamPublisher

MESSAGE = ConditionalMessage("letters.a", b"", {}, 7)


class RefusingJetStream:
    """Answers every message with one error code."""

    def __init__(self, err_code: int) -> None:
        self._error = APIError(code=400, err_code=err_code, description="refused")

    async def publish(self, *_: Any, **__: Any) -> None:
        raise self._error


def connection_of(js: object) -> Connection:
    """Return a connection that publishes there."""
    connection = Connection(Client())
    connection.js = js  # type: ignore[assignment]
    return connection


def publisher(err_code: int) -> StreamPublisher:
    return StreamPublisher(connection_of(RefusingJetStream(err_code)), "LETTERS")


@pytest.mark.parametrize("err_code", [10071, 10164])
async def test_both_codes_of_a_wrong_last_sequence_are_a_conflict(err_code: int) -> None:
    with pytest.raises(Conflict):
        await publisher(err_code).append(MESSAGE)


async def test_another_code_means_that_it_may_work_later() -> None:
    with pytest.raises(Unavailable, match="cannot write to the stream LETTERS: refused"):
        await publisher(10077).append(MESSAGE)
