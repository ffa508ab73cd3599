"""Answers those who ask for the state of a feature in the form of a command.

They wait for their turn as commands do. Nothing is decided or recorded, and neither the clock nor what
somebody has stored matters: who wants to stop a release may have to ask for its phase first.
"""

from collections.abc import Awaitable, Callable

from sluiceway.contracts.commands import Command, ReadFeature
from sluiceway.contracts.replies import Reply

from . import metrics
from .command_intake import Handle


def with_queries(handle: Handle, newest: Callable[[ReadFeature], Awaitable[Reply]]) -> Handle:
    """Return `handle` for all that is not a query; `newest` returns the newest state of a feature."""

    async def answered(command: Command) -> Reply:
        if not isinstance(command, ReadFeature):
            return await handle(command)
        with metrics.command_seconds(command.verb).time():
            reply = await newest(command)
        metrics.command_counter(command.verb, reply.outcome).inc()
        return reply

    return answered
