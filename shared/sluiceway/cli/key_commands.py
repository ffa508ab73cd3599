"""`sluiceway key …`: what SDKs show an edge, and what people and machines show the console."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from .. import console_keys, sdk_keys
from ..clock import now_ms
from ..contracts.catalogue import SdkKey
from ..contracts.commands import CreateKey, RevokeKey
from ..contracts.durations import parse_duration
from ..contracts.identity import ApiKey, Grant, Role
from ..pipelines.permissions import describe_grant
from . import snapshots
from .get import table
from .session import CliSession, CommandFailed, Reason, command

app = typer.Typer(
    help="Create, list and revoke keys: of SDKs, for an edge; of people and machines, for the console.",
    no_args_is_help=True,
)


@command(
    app,
    "create",
    "sluiceway key create --region prod-eu;  "
    "sluiceway key create --owner ada --role approver --environment production --expires 90d",
)
async def create(
    session: CliSession,
    region: Annotated[str | None, typer.Option("--region", help="The region that an SDK reads.")] = None,
    environment: Annotated[
        list[str] | None,
        typer.Option("--environment", help="The regions that an SDK reads; or where the roles count."),
    ] = None,
    role: Annotated[
        list[Role] | None, typer.Option("--role", help="What the owner may do; may be repeated.")
    ] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Whom the key identifies, in the log.")] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="A group of the owner, for approvals; repeatable."),
    ] = None,
    pipeline: Annotated[
        list[str] | None, typer.Option("--pipeline", help="The pipelines that the roles count for.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="For how long it is valid, for example 90d.")
    ] = None,
    reason: Reason = None,
) -> None:
    """Create a key and show it, once: only a digest of it is stored.

    With --role it is one for the console, else one for SDKs.
    """
    key: str
    stored: SdkKey | ApiKey
    if (role or owner) and region:
        raise CommandFailed(
            "--region is of a key for SDKs, --role and --owner of one for the console; make two"
        )
    if role or owner:
        key, stored = _for_console(role or [], owner, group, environment, pipeline, expires)
    elif group or pipeline or expires:
        raise CommandFailed(
            "--group, --pipeline and --expires need a key for the console: give --role and --owner"
        )
    else:
        key, stored = _for_sdk(region, environment or [])
    await session.send(CreateKey(actor=session.actor, reason=reason, key=stored))
    session.show({"id": stored.id, "key": key}, key)


def _for_sdk(region: str | None, environments: list[str]) -> tuple[str, SdkKey]:
    if (region is None) == (not environments) or len(environments) > 1:
        raise CommandFailed(
            "an SDK's key is for one region or for one environment: give --region or --environment; "
            "a key for the console needs --role and --owner"
        )
    key = sdk_keys.mint()
    environment = environments[0] if environments else None
    digest, now = sdk_keys.digest(key), now_ms()
    return key, SdkKey(
        id=sdk_keys.key_id(key), region=region, environment=environment, digest=digest, created_ms=now
    )


def _for_console(
    roles: list[Role],
    owner: str | None,
    groups: list[str] | None,
    environments: list[str] | None,
    pipelines: list[str] | None,
    expires: str | None,
) -> tuple[str, ApiKey]:
    if not roles or owner is None:
        raise CommandFailed(
            "a key for the console says who it is and what that one may do: give --owner and --role"
        )
    key, now = console_keys.mint(), now_ms()
    scope = {"environments": tuple(environments or ()) or None, "pipelines": tuple(pipelines or ()) or None}
    return key, ApiKey(
        id=console_keys.key_id(key),
        owner=owner,
        groups=tuple(groups or ()),
        grants=tuple(Grant.model_validate({"role": role, **scope}) for role in roles),
        hash=console_keys.hash_of(key),
        created_ms=now,
        expires_ms=now + _lifetime_ms(expires) if expires else None,
    )


def _lifetime_ms(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise CommandFailed(f"--expires: {error}") from error


@command(app, "list", "sluiceway key list --json")
async def list_(session: CliSession) -> None:
    """Show which keys there are, but not the keys."""
    catalogue = await snapshots.catalogue(session.connection)
    found: list[SdkKey | ApiKey] = [*catalogue.keys.values(), *catalogue.api_keys.values()]
    found.sort(key=lambda key: key.id)
    columns = ("key", "of", "may", "groups", "created", "expires")
    session.show([_document(key) for key in found], lambda: table(columns, [_row(key) for key in found]))


def _document(key: SdkKey | ApiKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"digest", "hash"})


def _row(key: SdkKey | ApiKey) -> tuple[str, ...]:
    if isinstance(key, SdkKey):
        place = f"region {key.region}" if key.region else f"environment {key.environment}"
        return key.id, "an SDK", f"read {place}", "", _day(key.created_ms), ""
    may = ", ".join(map(describe_grant, key.grants))
    expires = "" if key.expires_ms is None else _day(key.expires_ms)
    gone = " (expired)" if key.has_expired(now_ms()) else ""
    return key.id, key.owner, may, ", ".join(key.groups), _day(key.created_ms), f"{expires}{gone}"


@command(app, "revoke", "sluiceway key revoke 3f9a11c2 --reason 'was in a log'")
async def revoke(
    session: CliSession, key_id: Annotated[str, typer.Argument(help="The id.")], reason: Reason = None
) -> None:
    """Refuse a key from now on, everywhere."""
    await session.send(RevokeKey(actor=session.actor, reason=reason, key_id=key_id))
    session.show({"id": key_id}, f"{key_id} is revoked")


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d")
