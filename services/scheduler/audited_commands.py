"""Which commands leave a record in AUDIT: those that are refused, and those that create or revoke keys.

What a command changed stands in FEATURES and CATALOG already.
"""

from collections.abc import Awaitable, Callable

from sluiceway.clock import Clock
from sluiceway.contracts import subjects
from sluiceway.contracts.audit_records import AuditEvent, AuditType
from sluiceway.contracts.commands import Command, CreateKey, FeatureCommand, RevokeKey, TriggerCommand
from sluiceway.contracts.identity import ApiKey
from sluiceway.contracts.replies import Outcome, Refusal, RefusalCode, Reply
from sluiceway.messaging.audit_trail import AuditTrail

#: What is sent again in the usual course of things: it could not be stored, or was made from an old reading.
UNRECORDED = frozenset({RefusalCode.UNAVAILABLE, RefusalCode.STALE})
Handle = Callable[[Command], Awaitable[Reply]]


def audited(handle: Handle, trail: AuditTrail, clock: Clock) -> Handle:
    """Return `handle`, which records what it refuses and what it does to keys."""

    async def handle_and_record(command: Command) -> Reply:
        reply = await handle(command)
        if event := _event_of(command, reply, clock()):
            trail.record(event)
        return reply

    return handle_and_record


def refusal_recorder(trail: AuditTrail, clock: Clock) -> Callable[[str, Refusal], None]:
    """Return what records a message that is refused before it is a command with a known sender.

    Its text is left out, since it may quote the message.
    """

    def record(subject: str, refusal: Refusal) -> None:
        verb = subject.removeprefix(subjects.command("")).partition(".")[0]
        trail.record(
            AuditEvent(
                type=_refusal_type(refusal),
                time_ms=clock(),
                vouched_by=subjects.parse_principal(subject),
                about=verb,
                code=refusal.code,
            )
        )

    return record


def _event_of(command: Command, reply: Reply, now_ms: int) -> AuditEvent | None:
    type_, code, reason = _result(command, reply)
    if type_ is None:
        return None
    identity = command.identity
    return AuditEvent(
        type=type_,
        time_ms=now_ms,
        actor=command.actor if identity else None,
        account=command.account,
        vouched_by=identity.vouched_by if identity else None,
        about=_about(command),
        code=code,
        reason=reason if identity else f"{command.actor} says: {reason}",
    )


def _result(command: Command, reply: Reply) -> tuple[AuditType | None, str | None, str]:
    refusal = reply.refusal
    if refusal:
        type_ = None if refusal.code in UNRECORDED else _refusal_type(refusal)
        return type_, refusal.code, refusal.message
    if reply.outcome is Outcome.ACCEPTED and isinstance(command, CreateKey):
        return AuditType.KEY_CREATED, None, command.reason or ""
    if reply.outcome is Outcome.ACCEPTED and isinstance(command, RevokeKey):
        return AuditType.KEY_REVOKED, None, command.reason or ""
    return None, None, ""


def _refusal_type(refusal: Refusal) -> AuditType:
    return AuditType.DENIED if refusal.code is RefusalCode.NOT_ALLOWED else AuditType.REFUSED


def _about(command: Command) -> str:
    match command:
        case TriggerCommand():
            return f"{command.verb} {command.trigger}"
        case FeatureCommand():
            return f"{command.verb} {command.key}"
        case CreateKey(key=ApiKey() as key):
            return f"{command.verb} {key.id} of {key.owner}"
        case CreateKey(key=key):
            return f"{command.verb} {key.id}"
        case RevokeKey(key_id=id_):
            return f"{command.verb} {id_}"
        case _:
            return command.verb
