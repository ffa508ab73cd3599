"""What routes ask for: the desk, the caller, the id of a command."""

import hashlib
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from sluiceway.contracts.commands import derived_id
from sluiceway.contracts.identity import Identity

from .authentication import KEY_HEADER, Authentication
from .backend import BackendHolder, ConsoleBackend

IDEMPOTENCY_LENGTH_MAX = 200

_HEADER = APIKeyHeader(name=KEY_HEADER, auto_error=False, description="A key of the console.")
_BEARER = HTTPBearer(auto_error=False, description="The same key.")


def _backend(request: Request) -> ConsoleBackend:
    backend_holder: BackendHolder = request.app.state.backend_holder
    return backend_holder()


async def _caller(
    request: Request,
    key: Annotated[str | None, Security(_HEADER)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> Identity:
    authentication: Authentication = request.app.state.authentication
    return await authentication.caller(request, key or (bearer.credentials if bearer else None))


#: What the console knows, and how it acts; 503 until it has caught up.
Backend = Annotated[ConsoleBackend, Depends(_backend)]
#: Who calls; 401 for nobody.
Caller = Annotated[Identity, Depends(_caller)]


async def _command_id(
    request: Request,
    caller: Caller,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=IDEMPOTENCY_LENGTH_MAX,
            description="The same request with the same key is applied once, however often it is sent.",
        ),
    ] = None,
) -> str:
    if idempotency_key is None:
        return uuid4().hex
    body = hashlib.sha256(await request.body()).hexdigest()
    return derived_id("http", caller.name, request.method, request.url.path, idempotency_key, body)


#: The id of the command that a request becomes.
CommandId = Annotated[str, Depends(_command_id)]
