"""`sluiceway key …`: what processes show an edge to read its rules."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from .. import keys
from ..clock import now_ms
from ..contracts.catalogue import SdkKey
from ..contracts.commands import CreateKey, RevokeKey
from . import reading
from .get import table
from .session import Failed, Reason, Session, command

app = typer.Typer(help="Create, list and revoke the keys that SDKs show an edge.", no_args_is_help=True)


@command(
    app, "create", "sluiceway key create --region prod-eu;  sluiceway key create --environment production"
)
async def create(
    session: Session,
    region: Annotated[str | None, typer.Option("--region", help="The region it opens.")] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", help="The environment whose regions it opens.")
    ] = None,
    reason: Reason = None,
) -> None:
    """Create a key and show it, once: only its digest is stored."""
    if (region is None) == (environment is None):
        raise Failed("a key is for one region or for one environment: give --region or --environment")
    key = keys.mint()
    stored = SdkKey(
        id=keys.key_id(key),
        region=region,
        environment=environment,
        digest=keys.digest(key),
        created_ms=now_ms(),
    )
    await session.send(CreateKey(actor=session.actor, reason=reason, key=stored))
    session.show({"id": stored.id, "key": key}, key)


@command(app, "list", "sluiceway key list --json")
async def list_(session: Session) -> None:
    """Show which keys there are, but not the keys."""
    found = sorted((await reading.catalogue(session.connection)).keys.values(), key=lambda key: key.id)
    rows = [(key.id, key.region or "", key.environment or "", _day(key.created_ms)) for key in found]
    documents = [key.to_jsonable() for key in found]
    for document in documents:
        del document["digest"]
    session.show(documents, lambda: table(("key", "region", "environment", "created"), rows))


@command(app, "revoke", "sluiceway key revoke 3f9a11c2 --reason 'was in a log'")
async def revoke(
    session: Session, key_id: Annotated[str, typer.Argument(help="The id.")], reason: Reason = None
) -> None:
    """Refuse a key from now on, in every region."""
    await session.send(RevokeKey(actor=session.actor, reason=reason, key_id=key_id))
    session.show({"id": key_id}, f"{key_id} is revoked")


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d")
