"""The newest message of many subjects, read at the leader of their stream: other replicas may be behind.

The leader answers about one subject at a time, so many requests are written together.
"""

import binascii
import logging
from calendar import timegm
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from nats.errors import Error as NatsError

from ..errors import MessageTooLarge, error_text
from ..repeated_logs import RepeatedLogs
from .batched_requests import BatchedRequests
from .connection import Connection
from .jetstream_api import ANSWER_SECONDS, API
from .message_size import OutgoingMessage

log = logging.getLogger(__name__)

#: Reads that are written together, and how many such writes are under way at the same time: a broker drops
#: requests if too many wait.
READS_MAX = 100
WRITES_MAX = 4
#: The code of an error that says that nothing is stored there.
NOT_FOUND = 404


class StoredHeaders(NamedTuple):
    """The newest message of a subject, without its body."""

    sequence: int
    time_ms: int
    headers: Mapping[str, str]


class _Message(msgspec.Struct):
    seq: int
    time: str
    #: In Base64.
    hdrs: str = ""


class _Answer(msgspec.Struct):
    """What is read of an answer: it has the body as well, in Base64."""

    message: _Message | None = None
    error: dict[str, Any] | None = None


_ANSWERS = msgspec.json.Decoder(_Answer)


class LeaderReads:
    """Reads one stream or several. What is asked at the same moment is read together."""

    def __init__(self, connection: Connection, stream_of: Callable[[str], str]) -> None:
        """`stream_of`: returns the stream that stores a subject."""
        self._replies = connection.replies
        self._repeated = RepeatedLogs(log)
        self._stream_of = stream_of
        self._reads: BatchedRequests[str, StoredHeaders | None] = BatchedRequests(
            self._read, questions_max=READS_MAX, requests_max=WRITES_MAX
        )

    async def newest(self, subjects: Iterable[str]) -> dict[str, StoredHeaders | None]:
        """Return the newest message of each subject, None if there is none.

        Subjects that cannot be read now are left out.
        """
        return await self._reads.answers(subjects)

    async def _read(self, subjects: Sequence[str]) -> dict[str, StoredHeaders | None]:
        requests = [
            OutgoingMessage(
                f"{API}.STREAM.MSG.GET.{self._stream_of(subject)}",
                msgspec.json.encode({"last_by_subj": subject}),
            )
            for subject in subjects
        ]
        try:
            replies = await self._replies.request_all(requests, ANSWER_SECONDS)
        except (NatsError, TimeoutError, MessageTooLarge) as error:
            text = error_text(error)
            self._repeated.warning(
                text, "cannot read %s and %s more now: %s", subjects[0], len(subjects) - 1, text
            )
            return {}
        found: dict[str, StoredHeaders | None] = {}
        for subject, reply in zip(subjects, replies, strict=True):
            try:
                found[subject] = _parse(reply.data)
            except (ValueError, msgspec.MsgspecError) as error:
                self._repeated.warning("answer", "cannot read %s now: %s", subject, error)
        return found


def _parse(data: bytes) -> StoredHeaders | None:
    """Return the message in an answer, or None.

    Raises `ValueError`, or msgspec's error, if the answer says neither.
    """
    answer = _ANSWERS.decode(data)
    if answer.error and answer.error.get("code") == NOT_FOUND:
        return None
    if answer.message is None:
        raise ValueError(f"the broker answers {answer.error}")
    message = answer.message
    return StoredHeaders(message.seq, _milliseconds(message.time), _headers(message.hdrs))


def _milliseconds(time: str) -> int:
    """Return the milliseconds of a time as followers of a stream have them: cut off, not rounded."""
    moment = datetime.fromisoformat(time)
    return timegm(moment.utctimetuple()) * 1_000 + moment.microsecond // 1_000


def _headers(encoded: str) -> dict[str, str]:
    """Return headers, which may be anything: others write to the stream too."""
    lines = binascii.a2b_base64(encoded).decode(errors="replace").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}
