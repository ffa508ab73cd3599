"""The newest messages of many subjects: few writes, and no answer is not *nothing is stored*."""

import asyncio
import json
from base64 import b64encode

import pytest

from sluiceway.messaging.connection import Connection
from sluiceway.messaging.leader_reads import READS_MAX, WRITES_MAX, LeaderReads, StoredHeaders
from sluiceway.messaging.message_size import OutgoingMessage
from tests.support.answering_client import AnsweringClient

NOTHING = json.dumps({"error": {"code": 404, "err_code": 10037, "description": "no message found"}}).encode()
TIME = "2026-11-28T10:00:00.123999999Z"
TIME_MS = 1_795_860_000_123


def found(sequence: int, headers: str = "Checksum: abc\r\n", time: str = TIME) -> bytes:
    """Return the answer of a leader that holds a message."""
    message = {
        "subject": "letters.a",
        "seq": sequence,
        "hdrs": b64encode(f"NATS/1.0\r\n{headers}\r\n".encode()).decode(),
        "data": b64encode(b"x" * 100).decode(),
        "time": time,
    }
    return json.dumps(
        {"type": "io.nats.jetstream.api.v1.stream_msg_get_response", "message": message}
    ).encode()


def asked_for(request: OutgoingMessage) -> str:
    assert request.subject == "$JS.API.STREAM.MSG.GET.LETTERS"
    return str(json.loads(request.data)["last_by_subj"])


def reads(**answers: bytes) -> tuple[LeaderReads, AnsweringClient]:
    """Return reads of a stream whose leader gives these answers, by subject, and else says: nothing."""
    client = AnsweringClient(lambda request: answers.get(asked_for(request), NOTHING))
    return LeaderReads(Connection(client), lambda subject: "LETTERS"), client


async def test_a_message_is_read_with_its_headers_and_the_time_that_followers_have() -> None:
    letters, _ = reads(a=found(7, "Checksum: abc\r\nOther:  d: e \r\n"))

    assert await letters.newest(["a", "b"]) == {
        "a": StoredHeaders(7, TIME_MS, {"Checksum": "abc", "Other": "d: e"}),
        "b": None,
    }


@pytest.mark.parametrize(
    ("time", "milliseconds"), [("2026-11-28T10:00:00Z", 0), ("2026-11-28T10:00:00.1Z", 100)]
)
async def test_times_of_any_precision_are_read(time: str, milliseconds: int) -> None:
    letters, _ = reads(a=found(7, time=time))

    (message,) = (await letters.newest(["a"])).values()

    assert message
    assert message.time_ms % 1_000 == milliseconds


async def test_all_who_ask_at_the_same_moment_are_one_write() -> None:
    letters, client = reads()

    await asyncio.gather(*(letters.newest([f"{number}", f"{number + 1}"]) for number in range(50)))

    assert [len(write) for write in client.writes] == [51]


async def test_many_reads_are_bounded_writes() -> None:
    letters, client = reads()
    count = READS_MAX * (WRITES_MAX + 2) + 1

    read = await letters.newest(map(str, range(count)))

    assert len(read) == count
    assert [len(write) for write in client.writes] == [READS_MAX] * (WRITES_MAX + 2) + [1]


async def test_the_streams_of_several_subjects_are_one_write() -> None:
    client = AnsweringClient(lambda request: NOTHING)

    await LeaderReads(Connection(client), str.upper).newest(["a", "b"])

    assert [[request.subject for request in write] for write in client.writes] == [
        ["$JS.API.STREAM.MSG.GET.A", "$JS.API.STREAM.MSG.GET.B"]
    ]


@pytest.mark.parametrize(
    "answer", [b"", b"{", b"{}", found(7, time="then"), b'{"error":{"code":503}}', b'{"message":{"seq":"7"}}']
)
async def test_an_answer_that_says_neither_leaves_its_subject_out_and_no_other(answer: bytes) -> None:
    letters, _ = reads(a=answer, b=found(8))

    read = await letters.newest(["a", "b", "c"])

    assert set(read) == {"b", "c"}
    assert read["c"] is None


async def test_without_an_answer_in_time_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluiceway.messaging.leader_reads.ANSWER_SECONDS", 0.01)
    client = AnsweringClient(lambda request: None)

    assert await LeaderReads(Connection(client), lambda subject: "LETTERS").newest(["a"]) == {}
