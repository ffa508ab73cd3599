"""What happens to a message of a stream after its work."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sluiceway.errors import Rejected, RetryLater
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.delivery import DELIVERIES_MAX, settle


class Delivered:
    """A message of a stream, and what was said about it."""

    subject, data = "sluiceway.alerts.ci", b"{}"

    def __init__(self, deliveries: int = 1) -> None:
        self.metadata = SimpleNamespace(num_delivered=deliveries)
        self.said: list[str] = []

    async def ack(self) -> None:
        self.said.append("ack")

    async def nak(self, delay: float) -> None:
        assert delay > 0
        self.said.append("nak")

    async def term(self) -> None:
        self.said.append("term")


class Letters(DeadLetters):
    def __init__(self) -> None:
        self.codes: list[str] = []

    async def store(self, subject: str, data: bytes, reason: str, code: str, **_: Any) -> None:
        self.codes.append(code)


async def settled(message: Delivered, error: Exception | None = None) -> list[str]:
    """Return the codes of the dead letters that a message becomes if its work ends like this."""
    letters = Letters()

    async def work() -> None:
        assert message.said == [], "it is not acknowledged before its work has ended"
        if error:
            raise error

    await settle(cast(Any, message), work(), letters)
    return letters.codes


@pytest.mark.parametrize(
    ("error", "deliveries", "said", "codes"),
    [
        (None, 1, ["ack"], []),
        (RetryLater("later"), 100, ["nak"], []),
        (Rejected("invalid"), 1, ["term"], ["invalid"]),
        (ValueError("a bug"), 1, ["nak"], []),
        (ValueError("a bug"), DELIVERIES_MAX, ["term"], ["internal_error"]),
    ],
)
async def test_a_message_is_acknowledged_delivered_later_or_kept_as_dead(
    error: Exception | None, deliveries: int, said: list[str], codes: list[str]
) -> None:
    message = Delivered(deliveries)

    assert await settled(message, error) == codes
    assert message.said == said
