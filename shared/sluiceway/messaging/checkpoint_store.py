"""The checkpoint in a stream of RULES: read at the leader, and written over the one that is known."""

import logging
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from ..contracts import subjects
from ..contracts.checkpoint import Checkpoint
from ..errors import Conflict, Unavailable, error_text
from .connection import Connection
from .publishing import ConditionalMessage, StreamPublisher

log = logging.getLogger(__name__)


class StoredCheckpoint(NamedTuple):
    """A checkpoint, and its sequence in its stream."""

    sequence: int
    checkpoint: Checkpoint


class CheckpointStore:
    """Reads and writes the checkpoint that all publishers share, of the stream of a group of regions."""

    def __init__(self, connection: Connection, group: int = 0) -> None:
        self._js = connection.js
        self._stream = subjects.rules_stream(group)
        self._subject = subjects.checkpoint(group)
        self._publisher = StreamPublisher(connection, self._stream)
        #: The sequence that the next write expects.
        self._sequence = 0

    async def read(self) -> StoredCheckpoint | None:
        """Return the checkpoint; None without a valid one. Raises `Unavailable` if it cannot be read."""
        try:
            message = await self._js.get_last_msg(self._stream, self._subject)
        except NotFoundError:
            self._sequence = 0
            return None
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot read the checkpoint: {error_text(error)}") from error
        self._sequence = message.seq or 0
        try:
            return StoredCheckpoint(self._sequence, Checkpoint.model_validate_json(message.data or b""))
        except ValidationError as error:
            log.warning("the checkpoint in %s is invalid: %s", self._stream, error)
            return None

    async def event_time_ms(self, sequence: int) -> int | None:
        """Return when the broker stored a message of FEATURES; None if there is none.

        Raises `Unavailable` if it cannot be read.
        """
        try:
            message = await self._js.get_msg(subjects.FEATURES_STREAM, seq=sequence)
        except NotFoundError:
            return None
        except (NatsError, TimeoutError) as error:
            raise Unavailable(f"cannot read message {sequence} of FEATURES: {error_text(error)}") from error
        return _time_ms(message)

    async def write(self, checkpoint: Checkpoint) -> bool:
        """Store a checkpoint; return False if another one was stored meanwhile.

        Raises `Unavailable`, and `MessageTooLarge` if the broker takes none of this size.
        """
        message = ConditionalMessage(self._subject, checkpoint.to_json(), {}, self._sequence)
        try:
            self._sequence = await self._publisher.append(message)
        except Conflict:
            await self.read()
            return False
        return True


def _time_ms(message: RawStreamMsg) -> int | None:
    if message.time is None:
        return None
    return (message.time - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
