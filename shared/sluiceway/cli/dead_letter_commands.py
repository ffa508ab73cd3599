"""`sluiceway dead-letters`: the messages that services rejected, and why."""

from typing import Annotated, Any

import typer
from nats.js.errors import NotFoundError

from ..contracts import envelope, subjects
from ..errors import Unavailable
from .current_state import NO_STREAMS
from .get import table
from .session import CliSession

MESSAGE_BYTES_MAX = 200

Last = Annotated[int, typer.Option("--last", min=1, help="How many messages.")]


async def show_dead_letters(session: CliSession, last: Last = 20) -> None:
    """Show the newest rejected messages, each with the reason."""
    try:
        info = await session.connection.js.stream_info(subjects.DEAD_LETTERS_STREAM)
    except NotFoundError:
        raise Unavailable(NO_STREAMS) from None
    first = max(1, info.state.first_seq, info.state.last_seq - last + 1)
    letters: list[dict[str, Any]] = []
    for sequence in range(first, info.state.last_seq + 1):
        try:
            message = await session.connection.js.get_msg(subjects.DEAD_LETTERS_STREAM, sequence)
        except NotFoundError:  # it expired a moment ago
            continue
        headers = message.headers or {}
        service, sender = subjects.parse_dead_letter(message.subject or "")
        letters.append(
            {
                "time": message.time.isoformat() if message.time else "",
                "service": service,
                "sender": sender,
                "subject": headers.get(envelope.DEAD_SUBJECT, ""),
                "reason": headers.get(envelope.DEAD_REASON, ""),
                "message": (message.data or b"")[:MESSAGE_BYTES_MAX].decode(errors="replace"),
            }
        )
    rows = [(letter["time"], letter["service"], letter["subject"], letter["reason"]) for letter in letters]
    session.print_result(letters, lambda: table(("time", "service", "subject", "reason"), rows))
