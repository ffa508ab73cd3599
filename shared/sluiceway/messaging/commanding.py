"""The asking side of a command."""

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from ..contracts import subjects
from ..contracts.commands import Command
from ..contracts.replies import Reply
from ..errors import Unavailable
from .connection import Connection

ANSWER_TIMEOUT_SECONDS = 10.0


class Commander:
    """Sends commands to whichever scheduler is free."""

    def __init__(self, connection: Connection) -> None:
        self._client = connection.client

    async def send(self, command: Command) -> Reply:
        """Return the answer.

        `Unavailable` where none came: the command may or may not have been done, and may be sent
        again with the same id.
        """
        subject = subjects.command(command.verb)
        try:
            answer = await self._client.request(subject, command.to_json(), timeout=ANSWER_TIMEOUT_SECONDS)
        except NoRespondersError as error:
            raise Unavailable("no scheduler is listening; is one running?") from error
        except (NatsTimeoutError, TimeoutError) as error:
            raise Unavailable(f"no answer to {command.verb} within {ANSWER_TIMEOUT_SECONDS:g} s") from error
        except NatsError as error:
            raise Unavailable(f"{command.verb} could not be sent: {error}") from error
        return Reply.model_validate_json(answer.data, extra="ignore")
