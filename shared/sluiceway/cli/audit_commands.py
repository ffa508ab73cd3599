"""`sluiceway audit …`: who signed in, used a key or was refused, and whether those records are untouched."""

from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

import typer
from nats.js.api import StreamState
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from ..clock import now_ms
from ..contracts import subjects
from ..contracts.audit_chain import BrokenRecord, ChainVerifier
from ..contracts.audit_records import AuditRecord, AuditType
from ..contracts.durations import parse_duration
from ..contracts.envelope import rfc3339
from ..contracts.persons import canonical_name
from ..errors import Unavailable
from ..messaging.history import read_records
from ..messaging.stream_records import Record
from .current_state import NO_STREAMS
from .get import table
from .session import CliSession, CommandFailed, FailedAfterOutput, command

#: Records between two messages about the progress.
PROGRESS_EVERY = 10_000
#: Hexadecimal digits of a SHA-256.
HASH_LENGTH = 64

app = typer.Typer(
    help="Show and verify the audit records: sign-ins, keys and refusals.", no_args_is_help=True
)


class _Filter(NamedTuple):
    """Which records to show; None matches all."""

    actor: str | None
    type: AuditType | None
    since_ms: int

    def matches(self, record: AuditRecord) -> bool:
        is_actor = self.actor is None or canonical_name(record.actor or "") == canonical_name(self.actor)
        return is_actor and self.type in (None, record.type) and record.time_ms >= self.since_ms


@command(app, "verify", "sluiceway audit verify;  sluiceway audit verify --expect 9f86d081884c7d65… --json")
async def verify(
    session: CliSession,
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", help="A hash that an earlier verify has printed. Can be repeated."),
    ] = None,
) -> None:
    """Check that no record was altered, removed, added or reordered, and print the newest hash of each chain.

    Keep those hashes elsewhere and expect them the next time: only they tell whether records were cut off at
    the end, or the whole store went back. The exit code is 1 if something is wrong.
    """
    expected = frozenset(map(_hash, expect or ()))
    state = await _state(session)
    verifier = ChainVerifier(expected=expected, has_expired_records=state.first_seq > 1)
    broken = await _verify(session, verifier, state)
    document = {
        "records": verifier.count,
        "chains": {
            service: {"first": verifier.firsts[service], "last": end.number, "hash": end.hash}
            for service, end in sorted(verifier.ends.items())
        },
        "broken": broken._asdict() if broken else None,
    }
    session.print_result(document, lambda: _summary(verifier))
    if broken:
        raise FailedAfterOutput(f"the audit records are broken: {broken}")


@command(
    app, "list", "sluiceway audit list --since 24h;  sluiceway audit list --type denied --actor ada --json"
)
async def list_records(
    session: CliSession,
    actor: Annotated[
        str | None, typer.Option("--actor", help="Only what this person or machine did.")
    ] = None,
    type: Annotated[AuditType | None, typer.Option("--type", help="Only this type of record.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only the last, for example, 24h; or 2026-11-24T08:00:00Z.")
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=10_000, help="How many, the newest.")] = 50,
) -> None:
    """Show the newest audit records, oldest first."""
    wanted = _Filter(actor, type, _since_ms(since) if since else 0)
    state = await _state(session)
    found: deque[AuditRecord] = deque(maxlen=last)
    async for message in _messages(session, state):
        record = _parse(message)
        if record and wanted.matches(record):
            found.append(record)
    columns = ("time", "service", "type", "actor", "key", "address", "about", "reason")
    session.print_result(
        [record.model_dump(mode="json", exclude_none=True) for record in found],
        lambda: table(columns, [_row(record) for record in found]),
    )


async def _verify(session: CliSession, verifier: ChainVerifier, state: StreamState) -> BrokenRecord | None:
    if state.num_deleted:
        return BrokenRecord(subjects.AUDIT_STREAM, None, f"{state.num_deleted} messages were removed from it")
    async for message in _messages(session, state):
        service = subjects.parse_audited_service(message.subject)
        if broken := verifier.check(service, message.sequence, message.data):
            return broken
        if not verifier.count % PROGRESS_EVERY and not session.as_json:
            session.warn(f"verified {verifier.count} of {state.messages} records")
    if verifier.count < state.messages and not verifier.has_expired_records:
        return BrokenRecord(
            subjects.AUDIT_STREAM, None, f"it holds {state.messages} records, and {verifier.count} were read"
        )
    return verifier.missing()


async def _state(session: CliSession) -> StreamState:
    try:
        return (await session.connection.js.stream_info(subjects.AUDIT_STREAM)).state
    except NotFoundError:
        raise Unavailable(NO_STREAMS) from None


def _messages(session: CliSession, state: StreamState) -> AsyncIterator[Record]:
    js = session.connection.js
    return read_records(js, subjects.AUDIT_STREAM, subjects.AUDIT, until=state.last_seq)


def _summary(verifier: ChainVerifier) -> str:
    lines = [f"{verifier.count} records are as they were written"]
    for service, end in sorted(verifier.ends.items()):
        first = verifier.firsts[service]
        expired = f" (those before {first} have expired)" if first > 1 else ""
        lines.append(f"{service} {end.number} {end.hash}{expired}")
    return "\n".join(lines)


def _parse(message: Record) -> AuditRecord | None:
    try:
        return AuditRecord.model_validate_json(message.data)
    except ValidationError:
        return None


def _row(record: AuditRecord) -> tuple[str, ...]:
    code = f"{record.code}: " if record.code else ""
    vouched_by = record.vouched_by or ""
    place = (record.address or "", record.about, f"{code}{record.reason}")
    row = (rfc3339(record.time_ms), record.service, record.type, record.actor or "", vouched_by, *place)
    return tuple(map(_visible, row))


def _visible(text: str) -> str:
    """Return a text that does nothing to a terminal: strangers have written parts of it."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _hash(text: str) -> str:
    if len(text) != HASH_LENGTH or not all(digit in "0123456789abcdef" for digit in text):
        raise CommandFailed(f"invalid --expect {text!r}: use a hash that sluiceway audit verify has printed")
    return text


def _since_ms(text: str) -> int:
    try:
        return now_ms() - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandFailed(f"invalid --since {text!r}: write 24h, or 2026-11-24T08:00:00Z") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
