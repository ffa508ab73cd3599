"""Streams that exist for a moment only: they prove that streams of rules can be created before others go."""

import contextlib

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError

from ..contracts import subjects
from ..errors import error_text
from .jetstream_api import API, request_jetstream
from .rules_streams import STREAMS_MAX, RulesStreams
from .stream_creation import create_stream

PLACEHOLDER = f"{subjects.PROBES_STREAM}_RULES"
#: Error code for: the account has as many streams as it may have.
STREAMS_LIMIT = 10027


async def creation_error(
    js: JetStreamContext, config: StreamConfig, streams: RulesStreams, existing: int
) -> str | None:
    """Return why these streams could not be created in place of so many existing ones; None if they could.

    `config`: what each is created with, except for its subjects. Raises nats-py's errors if a placeholder
    cannot be deleted.
    """
    try:
        for name in streams.names:
            if not await _is_allowed(js, name):
                return (
                    f"no answer to {API}.STREAM.CREATE.{name}: the user of the scheduler needs that subject"
                )
        await _create_placeholders(js, config, streams.groups - existing)
    except (NatsError, TimeoutError) as error:
        description = error.description if isinstance(error, APIError) else None
        return description or error_text(error)
    finally:
        await delete_placeholders(js)
    return None


async def delete_placeholders(js: JetStreamContext) -> None:
    """Delete what a process that was killed has left; each takes the place of another stream."""
    answer = await request_jetstream(
        js._nc, f"{API}.STREAM.NAMES", {"subject": subjects.rules_placeholder("*"), "offset": 0}
    )
    for name in answer.get("streams") or []:
        with contextlib.suppress(NotFoundError):  # another scheduler starts as well
            await js.delete_stream(name)


async def _is_allowed(js: JetStreamContext, name: str) -> bool:
    """Return whether the broker hears who wants to create a stream: it refuses one of another name."""
    try:
        await request_jetstream(js._nc, f"{API}.STREAM.CREATE.{name}", {"name": PLACEHOLDER})
    except APIError:
        return True
    except TimeoutError:
        return False
    return True


async def _create_placeholders(js: JetStreamContext, config: StreamConfig, more: int) -> None:
    """Create as many as there will be more, and at least one, which shows that its replicas find brokers."""
    for number in range(min(max(1, more), STREAMS_MAX)):
        name, subject = f"{PLACEHOLDER}_{number}", subjects.rules_placeholder(str(number))
        try:
            await create_stream(js, config.evolve(name=name, subjects=[subject]))
        except APIError as error:
            if error.err_code != STREAMS_LIMIT or more > 0:
                raise
