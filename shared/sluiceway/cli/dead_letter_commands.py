"""`sluiceway dead-letters`: what was rejected, and why."""

from typing import Annotated, Any

import typer
from nats.js.errors import NotFoundError

from ..contracts import envelope, subjects
from ..errors import Unavailable
from .get import table
from .session import CliSession
from .snapshots import NOT_SET_UP

SHOWN_BYTES = 200

Last = Annotated[int, typer.Option("--last", min=1, help="How many.")]


async def show_dead_letters(session: CliSession, last: Last = 20) -> None:
    """Show the newest rejected messages, with the reason of each."""
    try:
        info = await session.connection.js.stream_info(subjects.DEAD_LETTERS_STREAM)
    except NotFoundError:
        raise Unavailable(NOT_SET_UP) from None
    first = max(1, info.state.first_seq, info.state.last_seq - last + 1)
    found: list[dict[str, Any]] = []
    for sequence in range(first, info.state.last_seq + 1):
        try:
            message = await session.connection.js.get_msg(subjects.DEAD_LETTERS_STREAM, sequence)
        except NotFoundError:  # it grew too old just now
            continue
        headers = message.headers or {}
        found.append(
            {
                "time": message.time.isoformat() if message.time else "",
                "service": (message.subject or "").rsplit(".", 1)[-1],
                "subject": headers.get(envelope.DEAD_SUBJECT, ""),
                "reason": headers.get(envelope.DEAD_REASON, ""),
                "message": (message.data or b"")[:SHOWN_BYTES].decode(errors="replace"),
            }
        )
    rows = [(f["time"], f["service"], f["subject"], f["reason"]) for f in found]
    session.show(found, lambda: table(("time", "service", "subject", "reason"), rows))
