"""What routes depend on: the backend, the caller, the headers of a change."""

import hashlib
from typing import Annotated, NamedTuple
from uuid import uuid4

from fastapi import Depends, Header, HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from sluiceway.contracts.commands import derived_id
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.json_depth import DEPTH_MAX, is_too_deep

from .authentication import KEY_HEADER, Authentication
from .backend import BackendProvider, ConsoleBackend
from .preconditions import IF_MATCH, IF_NONE_MATCH, Preconditions, preconditions_of
from .reading_turns import take_turn

IDEMPOTENCY_LENGTH_MAX = 200
#: Levels of a body: those of a value, and the document around it.
BODY_DEPTH_MAX = DEPTH_MAX + 10

_HEADER = APIKeyHeader(name=KEY_HEADER, auto_error=False, description="A key of the console.")
_BEARER = HTTPBearer(auto_error=False, description="The same key.")


def _backend(request: Request) -> ConsoleBackend:
    backend_provider: BackendProvider = request.app.state.backend_provider
    return backend_provider()


async def _caller(
    request: Request,
    key: Annotated[str | None, Security(_HEADER)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> Identity:
    authentication: Authentication = request.app.state.authentication
    identity = await authentication.authenticate(request, key or (bearer.credentials if bearer else None))
    request.state.user = identity
    await take_turn(request, identity)
    return identity


async def refuse_deep_body(request: Request) -> None:
    """Refuse a body that is nested too deeply, before it is read as a document."""
    if is_too_deep(await request.body(), BODY_DEPTH_MAX):
        raise HTTPException(400, f"the body is nested more than {BODY_DEPTH_MAX} levels deep")


#: Reads and commands; 503 until the console has caught up.
Backend = Annotated[ConsoleBackend, Depends(_backend)]
#: Who sends the request; 401 if unknown.
Caller = Annotated[Identity, Depends(_caller)]


async def _command_id(
    request: Request,
    caller: Caller,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=IDEMPOTENCY_LENGTH_MAX,
            description="A request that is sent again with the same key is applied once.",
        ),
    ] = None,
) -> str:
    if idempotency_key is None:
        return uuid4().hex
    body = hashlib.sha256(await request.body()).hexdigest()
    return derived_id("http", *caller.sender, request.method, request.url.path, idempotency_key, body)


#: The id of the command that a request leads to.
CommandId = Annotated[str, Depends(_command_id)]


class ChangeHeaders(NamedTuple):
    """The headers of a request that changes something."""

    command_id: str
    preconditions: Preconditions


async def _change_headers(
    request: Request,
    command_id: CommandId,
    if_match: Annotated[str | None, Header(description=IF_MATCH)] = None,
    if_none_match: Annotated[str | None, Header(description=IF_NONE_MATCH)] = None,
) -> ChangeHeaders:
    """Return the headers. A header may stand in several lines, so they are read from the request."""
    return ChangeHeaders(command_id, preconditions_of(request))


#: The id of the command that a request leads to, and what its sender has read.
Headers = Annotated[ChangeHeaders, Depends(_change_headers)]
