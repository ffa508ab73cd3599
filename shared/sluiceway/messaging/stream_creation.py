"""Creates one stream, also where the account allows fewer consumers than we want."""

import logging

from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError
from pydantic import JsonValue

from .jetstream_api import CONSUMERS_LIMIT

log = logging.getLogger(__name__)


async def create_stream(js: JetStreamContext, config: StreamConfig) -> None:
    """Create a stream; nothing happens if it exists with the same configuration.

    Raises nats-py's errors, `APIError` if it exists with another one or a subject belongs to another stream.
    """
    log.info("creating the stream %s", config.name)
    try:
        await js.add_stream(config)
    except APIError as error:
        if error.err_code != CONSUMERS_LIMIT:
            raise
        warn_of_consumers(str(config.name), config.max_consumers)
        await js.add_stream(config.evolve(max_consumers=None))


def warn_of_consumers(name: str, wanted: JsonValue) -> None:
    """Log that the account's limit is too low for what follows a stream."""
    log.warning(
        "the account takes fewer than %s consumers, so the stream %s takes as many as it does: raise "
        "max_consumers of the account if more processes follow the stream",
        wanted,
        name,
    )
