"""`sluiceway key …`: the keys of SDKs for an edge, and the keys of people and machines for the console."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from .. import console_keys, sdk_keys
from ..clock import now_ms
from ..contracts.catalogue import SdkKey
from ..contracts.commands import CreateKey, RevokeKey
from ..contracts.durations import parse_duration
from ..contracts.identity import ApiKey, Grant, Role
from ..contracts.persons import Account
from ..pipelines.permissions import describe_grant
from .current_state import read_catalogue
from .get import table
from .key_bootstrap import bootstrap
from .session import CliSession, CommandFailed, Reason, command

app = typer.Typer(
    help="Create, list and revoke keys: SDK keys for edges, API keys for the console.",
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
    region: Annotated[
        str | None, typer.Option("--region", help="SDK key: the region whose rules it can read.")
    ] = None,
    environment: Annotated[
        list[str] | None,
        typer.Option(
            "--environment",
            help="SDK key: the environment whose rules it can read. "
            "API key: limit the roles to this environment; can be repeated.",
        ),
    ] = None,
    role: Annotated[
        list[Role] | None, typer.Option("--role", help="API key: a role of the owner. Can be repeated.")
    ] = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="API key: the owner, for the audit log.")
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(
            "--account",
            help="API key: the owner's account at the identity provider, as 'ISSUER SUBJECT', unless the "
            "owner is named by the e-mail address verified there.",
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="API key: a group of the owner, for approvals. Can be repeated."),
    ] = None,
    pipeline: Annotated[
        list[str] | None,
        typer.Option("--pipeline", help="API key: limit the roles to this pipeline. Can be repeated."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="API key: how long it is valid, for example 90d.")
    ] = None,
    reason: Reason = None,
) -> None:
    """Create a key and print it. It is printed only once, because only a digest is stored.

    With --owner and --role it is an API key for the console, otherwise an SDK key for edges.
    """
    key: str
    stored: SdkKey | ApiKey
    if (role or owner) and region:
        raise CommandFailed(
            "--region is for an SDK key, --role and --owner are for an API key; create two keys"
        )
    if role or owner:
        key, stored = _api_key(role or [], owner, account, group, environment, pipeline, expires)
    elif account or group or pipeline or expires:
        raise CommandFailed(
            "--account, --group, --pipeline and --expires are for an API key; add --owner and --role"
        )
    else:
        key, stored = _sdk_key(region, environment or [])
    await session.send(CreateKey(actor=session.actor, reason=reason, key=stored))
    session.print_result({"id": stored.id, "key": key}, key)


def _sdk_key(region: str | None, environments: list[str]) -> tuple[str, SdkKey]:
    if (region is None) == (not environments) or len(environments) > 1:
        raise CommandFailed(
            "an SDK key is for one region or one environment: give either --region or --environment; "
            "an API key for the console needs --owner and --role"
        )
    key = sdk_keys.mint()
    environment = environments[0] if environments else None
    digest, now = sdk_keys.digest(key), now_ms()
    return key, SdkKey(
        id=sdk_keys.key_id(key), region=region, environment=environment, digest=digest, created_ms=now
    )


def _api_key(
    roles: list[Role],
    owner: str | None,
    account: str | None,
    groups: list[str] | None,
    environments: list[str] | None,
    pipelines: list[str] | None,
    expires: str | None,
) -> tuple[str, ApiKey]:
    if not roles or owner is None:
        raise CommandFailed("an API key needs an owner and at least one role: give both --owner and --role")
    key, now = console_keys.mint(), now_ms()
    scope = {"environments": tuple(environments or ()) or None, "pipelines": tuple(pipelines or ()) or None}
    return key, ApiKey(
        id=console_keys.key_id(key),
        owner=owner,
        account=_account(account) if account else None,
        groups=tuple(groups or ()),
        grants=tuple(Grant.model_validate({"role": role, **scope}) for role in roles),
        hash=console_keys.hash_of(key),
        created_ms=now,
        expires_ms=now + _lifetime_ms(expires) if expires else None,
    )


def _account(text: str) -> Account:
    issuer, _, subject = text.strip().partition(" ")
    try:
        return Account(issuer=issuer, subject=subject.strip())
    except ValidationError as error:
        raise CommandFailed(f"invalid --account {text!r}: expected 'ISSUER SUBJECT'") from error


def _lifetime_ms(text: str) -> int:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise CommandFailed(f"invalid --expires: {error}") from error


@command(app, "list", "sluiceway key list --json")
async def list_keys(session: CliSession) -> None:
    """Show the keys: ids, owners and permissions, but not the keys themselves."""
    catalogue = await read_catalogue(session.connection)
    keys: list[SdkKey | ApiKey] = [*catalogue.keys.values(), *catalogue.api_keys.values()]
    keys.sort(key=lambda key: key.id)
    columns = ("key", "owner", "permissions", "groups", "created", "expires")
    session.print_result(
        [_document(key) for key in keys], lambda: table(columns, [_row(key) for key in keys])
    )


def _document(key: SdkKey | ApiKey) -> dict[str, Any]:
    return key.model_dump(mode="json", exclude={"digest", "hash"})


def _row(key: SdkKey | ApiKey) -> tuple[str, ...]:
    if isinstance(key, SdkKey):
        scope = f"region {key.region}" if key.region else f"environment {key.environment}"
        return key.id, "an SDK", f"read {scope}", "", _day(key.created_ms), ""
    permissions = ", ".join(map(describe_grant, key.grants))
    expires = "" if key.expires_ms is None else _day(key.expires_ms)
    suffix = " (expired)" if key.has_expired(now_ms()) else ""
    return key.id, key.owner, permissions, ", ".join(key.groups), _day(key.created_ms), f"{expires}{suffix}"


@command(app, "revoke", "sluiceway key revoke 3f9a11c2 --reason 'leaked in a log'")
async def revoke(
    session: CliSession,
    key_id: Annotated[str, typer.Argument(help="The id of the key.")],
    reason: Reason = None,
) -> None:
    """Revoke a key: it is refused everywhere from now on."""
    await session.send(RevokeKey(actor=session.actor, reason=reason, key_id=key_id))
    session.print_result({"id": key_id}, f"{key_id} revoked")


command(
    app, "bootstrap", "sluiceway key bootstrap --actor ada --reason 'all administrators have lost their keys'"
)(bootstrap)


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d")
