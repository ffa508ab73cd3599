"""`/api/v1/keys`: who may read rules, and who may use the console."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from pydantic import Field

from sluiceway import console_keys
from sluiceway.contracts.bounded_lists import FIRST_ERROR, at_most
from sluiceway.contracts.catalogue import SdkKey
from sluiceway.contracts.commands import CreateKey, RevokeKey
from sluiceway.contracts.identifiers import NAME_PATTERN, Label
from sluiceway.contracts.identity import GRANTS_MAX, GROUPS_MAX, ApiKey, Grant, Owner, Role
from sluiceway.contracts.models import AuthoredModel, WireModel
from sluiceway.contracts.persons import Account

from ..dependencies import Backend, Caller, CommandId, Headers
from ..errors import CHANGING, CREATING, READING, responses
from .region_routes import Message

router = APIRouter(tags=["keys"])

KeyPath = Annotated[str, Path(pattern=NAME_PATTERN, description="The key's id.")]
ID_LENGTH = 2 * console_keys.ID_BYTES
#: Ten years. For a longer lifetime, leave the expiry out.
LIFETIME_MAX_SECONDS = 10 * 365 * 86_400


class KeyView(WireModel):
    """A key without its hash."""

    id: str
    kind: str
    created_ms: int
    #: Set for a key of the console.
    owner: str | None = None
    account: Account | None = None
    groups: list[str] = []
    grants: list[Grant] = []
    expires_ms: int | None = None
    #: Set for a key of SDKs.
    region: str | None = None
    environment: str | None = None


class KeyList(WireModel):
    """All keys, by id."""

    data: list[KeyView]


class NewKey(AuthoredModel):
    """A key to create: its owner, and what the owner may do."""

    owner: Owner
    #: The owner's account at the identity provider, unless the owner is named by the e-mail verified there.
    account: Account | None = None
    groups: Annotated[tuple[Label, ...], FIRST_ERROR, Field(max_length=GROUPS_MAX)] = ()
    grants: Annotated[tuple[Grant, ...], Field(min_length=1, max_length=GRANTS_MAX), at_most(GRANTS_MAX)]
    expires_in_seconds: Annotated[int, Field(strict=True, ge=1, le=LIFETIME_MAX_SECONDS)] | None = None


class CreatedKey(WireModel):
    """A new key. It is shown only this once."""

    id: str
    key: str


@router.get("/keys", responses={**READING, **responses(403)})
async def list_keys(backend: Backend, caller: Caller) -> KeyList:
    """List the keys. Needs the role admin."""
    if not any(grant.role is Role.ADMIN for grant in caller.grants):
        raise HTTPException(403, f"{caller.name} may not list keys: that needs the role admin")
    catalogue = backend.documents()
    keys: list[SdkKey | ApiKey] = [*catalogue.keys.values(), *catalogue.api_keys.values()]
    return KeyList(data=[_view(key) for key in sorted(keys, key=lambda key: key.id)])


@router.post("/keys", status_code=201, responses=CREATING)
async def create_key(body: NewKey, backend: Backend, caller: Caller, command_id: CommandId) -> CreatedKey:
    """Create a key for the console, and return it, once. Needs the role admin.

    The same request with the same `Idempotency-Key` is refused (409): a key is never shown again.
    """
    id_ = hashlib.sha256(command_id.encode()).hexdigest()[:ID_LENGTH]
    key, now = console_keys.mint(id_), backend.clock()
    expires_ms = None if body.expires_in_seconds is None else now + body.expires_in_seconds * 1_000
    stored = ApiKey(
        id=id_,
        owner=body.owner,
        account=body.account,
        groups=body.groups,
        grants=body.grants,
        hash=console_keys.hash_of(key),
        created_ms=now,
        expires_ms=expires_ms,
    )
    await backend.execute(CreateKey(id=command_id, actor=caller.name, key=stored), caller)
    return CreatedKey(id=stored.id, key=key)


@router.delete("/keys/{id}", responses=CHANGING)
async def revoke_key(id: KeyPath, backend: Backend, caller: Caller, headers: Headers) -> Message:
    """Revoke a key everywhere. Needs the role admin."""
    command = RevokeKey(id=headers.command_id, actor=caller.name, key_id=id)
    await backend.execute(command, caller, headers.preconditions)
    return Message(message=f"key {id} is revoked")


def _view(key: SdkKey | ApiKey) -> KeyView:
    return KeyView.model_validate(key.model_dump(exclude={"hash", "digest"}))
