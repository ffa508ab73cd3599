"""Requests to JetStream with their answers as they are: nats-py drops settings that it does not know."""

import json
from typing import Any, TypeVar

import msgspec
from nats.aio.client import Client
from nats.js.errors import APIError

from ..errors import DECODE_ERRORS
from .history_loss import NoQuorum, hears_most
from .reply_inbox import ReplyInbox

#: For one reply.
ANSWER_SECONDS = 2.0
API = "$JS.API"
#: Error code for: a stream, or its account, takes no more consumers.
CONSUMERS_LIMIT = 10026
#: Error code for: a stream has no message there.
NO_MESSAGE = 10037


Answer = TypeVar("Answer")


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


class _Replica(msgspec.Struct):
    name: str
    #: How long ago the broker that answers has heard it, in nanoseconds.
    active: int = 0


class _Group(msgspec.Struct):
    leader: str = ""
    replicas: tuple[_Replica, ...] = ()


class _StreamInfo(msgspec.Struct):
    """What is read of the answer: to parse all of it costs more than the rest of the request."""

    state: _State | None = None
    cluster: _Group | None = None
    error: dict[str, Any] | None = None

    @property
    def is_led(self) -> bool:
        """Whether a leader answers that hears most replicas, or a broker that has the only one."""
        if self.cluster is None or not self.cluster.replicas:
            return True
        return hears_most(self.cluster.leader, {each.name: each.active for each in self.cluster.replicas})


_STREAM_INFOS = msgspec.json.Decoder(_StreamInfo)


async def last_sequence(replies: ReplyInbox, stream: str) -> int:
    """Return the last sequence of a stream as its leader knows it; raise as `request_jetstream` does.

    Raises `NoQuorum` if the broker that answers does not hear most replicas, so that others may have elected
    another leader.
    """
    reply = await replies.request(f"{API}.STREAM.INFO.{stream}", timeout=ANSWER_SECONDS)
    info = _decode(_STREAM_INFOS, reply)
    if info.error is not None:
        APIError.from_error(info.error)
    if info.state is None:
        raise APIError(description="not the description of a stream: it has no state")
    if not info.is_led:
        raise NoQuorum
    return info.state.last_seq


class StoredMessage(msgspec.Struct, frozen=True):
    """A message in a stream, without its headers."""

    seq: int
    data: bytes = b""


class _StoredMessageAnswer(msgspec.Struct):
    message: StoredMessage | None = None
    error: dict[str, Any] | None = None


_STORED_MESSAGES = msgspec.json.Decoder(_StoredMessageAnswer)


async def newest_message(replies: ReplyInbox, stream: str, subject: str) -> StoredMessage | None:
    """Return the newest message of a subject as the stream's leader knows it; None if there is none.

    Raises as `request_jetstream` does.
    """
    question = msgspec.json.encode({"last_by_subj": subject})
    reply = await replies.request(f"{API}.STREAM.MSG.GET.{stream}", question, timeout=ANSWER_SECONDS)
    answer = _decode(_STORED_MESSAGES, reply)
    if answer.error is not None:
        if answer.error.get("err_code") == NO_MESSAGE:
            return None
        APIError.from_error(answer.error)
    if answer.message is None:
        raise APIError(description="not a message of a stream")
    return answer.message


def _decode(decoder: msgspec.json.Decoder[Answer], reply: bytes) -> Answer:
    try:
        return decoder.decode(reply)
    except DECODE_ERRORS as error:
        raise APIError(description=f"not an answer of JetStream: {error}") from error
