"""Requests to JetStream with their answers as they are: nats-py drops settings that it does not know."""

import json
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.js.errors import APIError

from .reply_inbox import ReplyInbox

#: For one reply.
ANSWER_SECONDS = 2.0
API = "$JS.API"
#: Error code for: a stream, or its account, takes no more consumers.
CONSUMERS_LIMIT = 10026


async def request_jetstream(client: Client, subject: str, body: object = None) -> dict[str, Any]:
    """Return the answer to a request; raise `APIError` if it is an error, and nats-py's own errors."""
    data = b"" if body is None else json.dumps(body).encode()
    reply = await client.request(subject, data, timeout=ANSWER_SECONDS)
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        APIError.from_error(answer["error"])
    return answer


class _State(msgspec.Struct):
    last_seq: int


class _StreamInfo(msgspec.Struct):
    """What is read of the answer: to parse all of it costs more than the rest of the request."""

    state: _State | None = None
    error: dict[str, Any] | None = None


_STREAM_INFOS = msgspec.json.Decoder(_StreamInfo)


async def last_sequence(replies: ReplyInbox, stream: str) -> int:
    """Return the last sequence of a stream as its leader knows it; raise as `request_jetstream` does."""
    reply = await replies.request(f"{API}.STREAM.INFO.{stream}", timeout=ANSWER_SECONDS)
    try:
        info = _STREAM_INFOS.decode(reply)
    except msgspec.MsgspecError as error:
        raise APIError(description=f"not the description of a stream: {error}") from error
    if info.error is not None:
        APIError.from_error(info.error)
    if info.state is None:
        raise APIError(description="not the description of a stream: it has no state")
    return info.state.last_seq
