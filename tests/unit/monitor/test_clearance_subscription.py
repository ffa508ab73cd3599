"""Which requests of schedulers are answered, and where to."""

import asyncio
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from services.monitor.clearance_responder import all_held
from services.monitor.clearance_subscription import ClearanceSubscription
from sluiceway.contracts.measurements import Clearance, ClearanceQuestion, ClearanceRequest
from sluiceway.errors import MessageTooLarge

TRIGGER = "gate.checkout.1"


class Connection(Client):
    """Keeps what is published, if it has at most `bytes_max`."""

    def __init__(self, bytes_max: int = 1_000_000) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.bytes_max = bytes_max

    async def publish(self, subject: str, payload: bytes = b"", *_: Any, **__: Any) -> None:
        if len(payload) > self.bytes_max:
            raise MessageTooLarge(subject, len(payload), self.bytes_max, "the broker's max_payload")
        self.published.append((subject, payload))


async def clear(request: ClearanceRequest) -> Clearance:
    if request.revision == 0:
        raise AssertionError("a bug")
    return Clearance(trigger=request.trigger, phase_id=request.phase_id, holds=())


async def answers(*requests: tuple[str, bytes]) -> list[str]:
    """Return the subjects of the answers to requests, each of which names where its answer goes."""
    connection = Connection()
    subscription = ClearanceSubscription(connection, clear, workers=1)
    for reply, data in requests:
        await subscription._on_message(Msg(connection, "sluiceway.clearance", reply, data))
    for task in tuple(subscription._answering):
        await task
    return [subject for subject, _ in connection.published]


def a_request(revision: int = 1) -> bytes:
    return ClearanceRequest(trigger=TRIGGER, phase_id="dev", revision=revision).to_json()


async def test_an_invalid_request_and_an_internal_error_get_no_answer_and_stop_nobody() -> None:
    newer = a_request().replace(b"{", b'{"ofANewerVersion": 1, ', 1)

    answered = await answers(
        ("_INBOX.1", a_request()),
        ("_INBOX.2", b"{"),
        ("_INBOX.3", a_request(revision=0)),
        ("_INBOX.4", newer),
    )

    assert answered == ["_INBOX.1", "_INBOX.4"]


async def test_an_answer_goes_to_an_inbox_only() -> None:
    answered = await answers(("sluiceway.features.gate.checkout", a_request()), ("", a_request()))

    assert answered == []


async def test_an_answer_that_is_too_large_for_the_broker_is_sent_in_part() -> None:
    async def hold(request: ClearanceRequest) -> Clearance:
        return all_held(request, "x" * 100)

    connection = Connection(bytes_max=1_000)
    question = ClearanceQuestion(trigger=TRIGGER, phase_id="dev", revision=1)
    request = ClearanceRequest(**question.model_dump(), others=(question,) * 20)

    subscription = ClearanceSubscription(connection, hold, workers=1)
    await subscription._on_message(Msg(connection, "sluiceway.clearance", "_INBOX.1", request.to_json()))
    await asyncio.gather(*subscription._answering)

    ((_, answer),) = connection.published
    assert len(Clearance.model_validate_json(answer).answers) == 6
