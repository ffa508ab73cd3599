"""Which answers of a broker count as a conflict, and how many writes and subscriptions messages take."""

import asyncio

import pytest
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from sluiceway.errors import Conflict, MessageTooLarge, Unavailable
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.message_size import OutgoingMessage
from sluiceway.messaging.publishing import PENDING_MAX, ConditionalMessage, StreamPublisher
from tests.support.answering_client import AnsweringClient, stored
from tests.support.waiting import eventually

MESSAGE = ConditionalMessage("letters.a", b"", {}, 7)
CONFLICT = (
    b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 9"},"stream":"L","seq":0}'
)


def refused(err_code: int) -> bytes:
    return (
        b'{"error":{"code":400,"err_code":%d,"description":"refused"},"stream":"LETTERS","seq":0}' % err_code
    )


def publisher(*answers: bytes) -> tuple[StreamPublisher, AnsweringClient]:
    """Return a publisher whose messages get these answers, the last one again and again."""
    left = list(answers)
    client = AnsweringClient(lambda _: left.pop(0) if len(left) > 1 else left[0])
    return StreamPublisher(Connection(client), "LETTERS"), client


@pytest.mark.parametrize("err_code", [10071, 10164])
async def test_both_codes_of_a_wrong_last_sequence_are_a_conflict(err_code: int) -> None:
    with pytest.raises(Conflict):
        await publisher(refused(err_code))[0].append(MESSAGE)


async def test_another_code_means_that_it_may_work_later() -> None:
    with pytest.raises(Unavailable, match="cannot write to the stream LETTERS: refused"):
        await publisher(refused(10077))[0].append(MESSAGE)


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b'{"seq":"7"}', b"{}", b'{"seq":0}', b"\xff"])
async def test_an_answer_that_is_no_acknowledgement_does_not_say_that_it_is_stored(answer: bytes) -> None:
    with pytest.raises(Unavailable, match="LETTERS: invalid acknowledgement"):
        await publisher(answer)[0].append(MESSAGE)
    with pytest.raises(Unavailable, match="LETTERS: invalid acknowledgement"):
        await publisher(answer)[0].append_all([MESSAGE])


async def test_a_hundred_messages_are_one_write_and_take_no_subscription_of_their_own() -> None:
    letters, client = publisher(*(stored(n) for n in range(1, 101)))
    messages = [ConditionalMessage(f"letters.{n}", b"x", {}, n) for n in range(100)]

    assert await letters.append_all(messages[:50]) == list(range(1, 51))
    assert await letters.append_all(messages[50:]) == list(range(51, 101))

    assert [len(write) for write in client.writes] == [50, 50]
    assert len(client.subscribed) == 1


async def test_each_message_has_its_own_condition_and_its_own_result() -> None:
    letters, client = publisher(stored(8), CONFLICT, stored(9))
    messages = [ConditionalMessage(f"letters.{n}", b"x", {"Sluiceway-Revision": "3"}, n) for n in range(3)]

    first, second, third = await letters.append_all(messages)

    assert (first, third) == (8, 9)
    assert isinstance(second, Conflict)
    assert str(second) == "letters.1 has changed: its last sequence is not 1"
    assert [message.headers for message in client.writes[0]] == [
        b"NATS/1.0\r\nSluiceway-Revision: 3\r\nNats-Expected-Last-Subject-Sequence: %d\r\n\r\n" % n
        for n in range(3)
    ]


async def test_of_more_messages_than_may_wait_the_last_are_sent_when_the_first_are_stored() -> None:
    letters, client = publisher(stored(1))

    await letters.append_all([MESSAGE] * (PENDING_MAX + 1))

    assert [len(write) for write in client.writes] == [PENDING_MAX, 1]


async def test_replies_in_another_order_go_to_those_who_asked() -> None:
    client = AnsweringClient(lambda _: None)
    letters = StreamPublisher(Connection(client), "LETTERS")
    appends = [
        asyncio.create_task(letters.append(ConditionalMessage(f"letters.{n}", b"", {}, 0))) for n in range(3)
    ]
    await eventually(lambda: len(client.writes) == 3, "all are sent")

    for write in reversed(client.writes):
        (message,) = write
        client.reply(message.reply, stored(10 + int(message.subject[-1])))

    assert await asyncio.gather(*appends) == [10, 11, 12]
    assert len(client.subscribed) == 1


async def test_a_reply_that_nobody_waits_for_changes_nothing() -> None:
    letters, client = publisher(stored(5))
    await letters.append(MESSAGE)
    (sent,) = client.writes[0]
    prefix = sent.reply.rpartition(".")[0]

    for subject in (sent.reply, f"{prefix}.999", f"{prefix}.not-a-number", prefix):
        client.reply(subject, stored(99))

    assert await letters.append(MESSAGE) == 5
    assert not letters._replies._waiting


async def test_nobody_can_guess_where_the_reply_to_a_write_goes() -> None:
    inboxes = []
    for _ in range(2):
        letters, client = publisher(stored(5))
        await letters.append(MESSAGE)
        inboxes.append(client.writes[0][0].reply.split(".")[-2])

    assert all(len(inbox) == 32 for inbox in inboxes)
    assert inboxes[0] != inboxes[1]


async def test_who_gives_up_leaves_nothing_that_waits() -> None:
    client = AnsweringClient(lambda _: None)
    letters = StreamPublisher(Connection(client), "LETTERS")
    appending = asyncio.create_task(letters.append_all([MESSAGE] * 3))
    await eventually(lambda: client.writes, "all are sent")

    appending.cancel()
    await asyncio.wait({appending})

    assert not letters._replies._waiting


async def test_a_request_that_nobody_hears_is_no_reply() -> None:
    client = AnsweringClient(lambda _: None)
    replies = Connection(client).replies
    asking = asyncio.create_task(replies.request("asked", b"x", timeout=5, headers={"a": "b"}))
    await eventually(lambda: client.writes, "it is sent")
    ((sent,),) = client.writes

    client.reply(sent.reply, b"", {"Status": "503"})

    with pytest.raises(NoRespondersError):
        await asking
    assert (sent.subject, sent.data, sent.headers) == ("asked", b"x", b"NATS/1.0\r\na: b\r\n\r\n")


async def test_a_request_without_a_reply_times_out() -> None:
    replies = Connection(AnsweringClient(lambda _: None)).replies

    with pytest.raises(NatsTimeoutError):
        await replies.request("asked", timeout=0)

    assert not replies._waiting


async def test_a_message_that_is_too_large_is_not_sent_and_the_others_are() -> None:
    letters, client = publisher(stored(1))
    client._max_payload = 100

    first, second = await letters.append_all([MESSAGE, MESSAGE._replace(data=bytes(100))])

    assert first == 1
    assert isinstance(second, MessageTooLarge)
    assert client.writes == [[sent] for (sent,) in client.writes]
    assert isinstance(client.writes[0][0], OutgoingMessage)
