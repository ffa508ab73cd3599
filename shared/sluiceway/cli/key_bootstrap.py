"""`sluiceway key bootstrap`: a new administrator's key for operators who have the scheduler's credentials.

It asks nobody for permission: it writes to the broker itself, which only the scheduler's credentials may.
"""

from .. import console_keys
from ..clock import now_ms
from ..contracts.audit_records import AuditEvent, AuditType
from ..contracts.commands import CreateKey
from ..contracts.identity import ApiKey, Grant, Role
from ..messaging.audit_trail import AuditTrail
from ..messaging.catalogue_store import CatalogueStore
from .session import CliSession, CommandFailed, Reason

OWNER = "admin"
#: Whose chain of records gets this one, since its credentials are used.
SERVICE = "scheduler"


async def bootstrap(session: CliSession, reason: Reason = None) -> None:
    """Create a new administrator's key if all are lost, and print it.

    Run it on the broker's host with the scheduler's credentials. The audit stream says that it was done.
    """
    if session.connection.principal:
        raise CommandFailed(
            "key bootstrap needs the scheduler's credentials, not those of "
            f"{session.connection.principal!r}: unset SLUICEWAY_PRINCIPAL"
        )
    key, now = console_keys.mint(), now_ms()
    stored = ApiKey(
        id=console_keys.key_id(key),
        owner=OWNER,
        grants=(Grant(role=Role.ADMIN),),
        hash=console_keys.hash_of(key),
        created_ms=now,
    )
    create = CreateKey(actor=session.actor, reason=reason or "sluiceway key bootstrap", key=stored)
    await _record(session, create, stored.id)
    store = CatalogueStore(session.connection, "/sluiceway/cli")
    await store.put("api_key", stored.id, stored, 0, None, command=create, now_ms=now)
    session.print_result({"id": stored.id, "key": key}, key)


async def _record(session: CliSession, create: CreateKey, id_: str) -> None:
    """Store in AUDIT who says that they create the key; `CommandFailed` if it is not stored."""
    event = AuditEvent(
        type=AuditType.KEY_CREATED,
        time_ms=now_ms(),
        about=f"bootstrap_key {id_} of {OWNER}",
        reason=f"{create.actor} says: {create.reason}",
    )
    trail = AuditTrail(session.connection, SERVICE, now_ms)
    async with trail:
        trail.record(event)
    if trail.unstored:
        raise CommandFailed(
            "no key was created, because the stream AUDIT stored no record of it: is a scheduler "
            "running, and are these the scheduler's credentials?"
        )
