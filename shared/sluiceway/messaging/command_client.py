"""Sends commands to a scheduler, by request-reply."""

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from ..contracts import subjects
from ..contracts.commands import COMMAND_MAX_BYTES, Command
from ..contracts.replies import Outcome, Reply
from ..errors import Unavailable
from ..pipelines import refusals
from .connection import Connection

#: For one attempt: a request can be lost with a connection.
ATTEMPT_SECONDS = 1.0
ATTEMPTS_MAX = 10


class CommandClient:
    """Sends commands; any scheduler may answer."""

    def __init__(self, connection: Connection, principal: str | None = None) -> None:
        """`principal`: the sender whom the broker vouches for; by default that of the connection."""
        self._client = connection.client
        self._principal = principal or connection.principal

    async def send(self, command: Command) -> Reply:
        """Return the reply; without one, send the command again, which is safe because of its id.

        A command that no scheduler would read is refused here. Raises `Unavailable` if no reply came to any
        attempt: the command may or may not be applied.
        """
        data, bytes_max = command.to_json(), min(COMMAND_MAX_BYTES, self._client.max_payload)
        if len(data) > bytes_max:
            return Reply(outcome=Outcome.REFUSED, refusal=refusals.too_large(len(data), bytes_max))
        for _ in range(ATTEMPTS_MAX):
            if reply := await self._attempt(command, data):
                return reply
        raise Unavailable(f"no reply to {command.verb} in {ATTEMPTS_MAX} attempts of {ATTEMPT_SECONDS:g} s")

    async def _attempt(self, command: Command, data: bytes) -> Reply | None:
        subject = subjects.command(command.verb, self._principal)
        try:
            answer = await self._client.request(subject, data, timeout=ATTEMPT_SECONDS)
        except NoRespondersError as error:
            raise Unavailable("no scheduler is listening; is one running?") from error
        except (NatsTimeoutError, TimeoutError):
            return None
        except NatsError as error:
            raise Unavailable(f"cannot send {command.verb}: {error}") from error
        return Reply.model_validate_json(answer.data, extra="ignore")
