"""Sends commands to a scheduler, by request-reply."""

import asyncio
import random

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from ..contracts import envelope, subjects
from ..contracts.commands import COMMAND_MAX_BYTES, Command
from ..contracts.replies import Outcome, RefusalCode, Reply
from ..errors import Unavailable
from ..pipelines import refusals
from .connection import Connection

#: For one attempt: a request can be lost with a connection.
ATTEMPT_SECONDS = 1.0
ATTEMPTS_MAX = 10
#: Between attempts of a command that is refused because its sender sends too many.
RATE_LIMITED_SECONDS_MAX = 2.0
#: A scheduler that reconnects listens again after less than the sum of these.
UNHEARD_SECONDS = 0.2
UNHEARD_ATTEMPTS_MAX = 4


class CommandClient:
    """Sends commands; any scheduler may answer."""

    def __init__(self, connection: Connection, principal: str | None = None) -> None:
        """`principal`: the sender whom the broker vouches for; by default that of the connection."""
        self._client = connection.client
        self._principal = principal or connection.principal

    async def send(self, command: Command) -> Reply:
        """Return the reply; without one, send the command again, which is safe because of its id.

        So is a command sent again that was refused because its sender sends too many.
        A command that no scheduler would read is refused here. Raises `Unavailable` if no reply came to any
        attempt: the command may or may not be applied.
        """
        data, bytes_max = command.to_json(), min(COMMAND_MAX_BYTES, self._client.max_payload)
        if len(data) > bytes_max:
            return Reply(outcome=Outcome.REFUSED, refusal=refusals.too_large(len(data), bytes_max))
        unheard = 0
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                reply = await self._attempt(command, data)
            except NoRespondersError as error:
                unheard += 1
                if unheard == UNHEARD_ATTEMPTS_MAX:
                    raise Unavailable("no scheduler is listening; is one running?") from error
                await asyncio.sleep(UNHEARD_SECONDS)
                continue
            if reply and (attempt == ATTEMPTS_MAX or not _is_rate_limited(reply)):
                return reply
            if reply:
                await asyncio.sleep(_pause_seconds(reply, attempt))
        raise Unavailable(f"no reply to {command.verb} in {ATTEMPTS_MAX} attempts of {ATTEMPT_SECONDS:g} s")

    async def _attempt(self, command: Command, data: bytes) -> Reply | None:
        """Return the reply, or None if none came in time; `NoRespondersError` if nobody listens."""
        subject = subjects.command(command.verb, self._principal)
        try:
            answer = await self._client.request(
                subject, data, timeout=ATTEMPT_SECONDS, headers=_headers(command)
            )
        except NoRespondersError:
            raise
        except (NatsTimeoutError, TimeoutError):
            return None
        except NatsError as error:
            raise Unavailable(f"cannot send {command.verb}: {error}") from error
        return Reply.model_validate_json(answer.data, extra="ignore")


def _headers(command: Command) -> dict[str, str] | None:
    """Return the header that says for whom the console sends a command."""
    if command.identity is None:
        return None
    return {envelope.ON_BEHALF_OF: envelope.header_safe(command.identity.name)}


def _is_rate_limited(reply: Reply) -> bool:
    return reply.refusal is not None and reply.refusal.code is RefusalCode.RATE_LIMITED


def _pause_seconds(reply: Reply, attempt: int) -> float:
    """Return what the scheduler says, and more after each attempt: others of the same sender wait, too."""
    assert reply.refusal
    asked = (reply.refusal.retry_after_ms or 0) / 1_000
    return min(asked * attempt * random.uniform(1, 2), RATE_LIMITED_SECONDS_MAX)  # noqa: S311 (not a secret)
