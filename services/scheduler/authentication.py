"""Who sent a command: the sender in its subject, and keys → the identity that decisions trust.

The broker's permissions let each user publish only to subjects that end with its own name. So the sender
in the subject can be trusted; what a command says about its own sender cannot.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from faststream import BaseMiddleware, StreamMessage

from sluiceway.clock import Clock
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import Command
from sluiceway.contracts.identity import CONSOLE, MONITOR, Grant, Identity, Role
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.delivery import UnauthorizedSender
from sluiceway.pipelines import refusals

MONITOR_IDENTITY = Identity(name=MONITOR, grants=(Grant(role=Role.OPERATOR),), vouched_by=MONITOR)


class Authenticator:
    """Finds out who sent a command."""

    def __init__(self, catalogue: CatalogueView, clock: Clock, *, required: bool) -> None:
        """`required`: refuse commands that nobody vouches for."""
        self._catalogue = catalogue
        self._clock = clock
        self._required = required

    async def authenticate(self, command: Command, principal: str | None, reply_to: str) -> Command:
        """Return the command with its sender's real identity; `UnauthorizedSender` if there is none.

        `principal` is the sender that the subject names. A command is a request: one that comes from a
        stream, or has no inbox for its reply, was published by the broker for somebody who may only read.
        """
        if (reply_to or principal) and not subjects.is_inbox(reply_to):
            raise UnauthorizedSender(refusals.not_a_request(command.verb))
        identity = await self._identity(command, principal)
        if identity is None:
            return command.model_copy(update={"identity": None})
        return command.model_copy(update={"identity": identity, "actor": identity.name})

    async def _identity(self, command: Command, principal: str | None) -> Identity | None:
        if principal is None:
            if self._required:
                raise UnauthorizedSender(refusals.unauthenticated(command.actor, command.verb))
            return None
        if principal == CONSOLE:
            if command.identity is None:
                raise UnauthorizedSender(refusals.missing_identity(principal, command.verb))
            return command.identity
        if principal == MONITOR:
            return MONITOR_IDENTITY
        return await self._identity_of_key(principal)

    async def _identity_of_key(self, key_id: str) -> Identity:
        await self._catalogue.catch_up()
        key = self._catalogue.catalogue().api_keys.get(key_id)
        if key is None:
            raise UnauthorizedSender(refusals.revoked_key(key_id))
        if key.has_expired(self._clock()):
            raise UnauthorizedSender(refusals.expired_key(key_id, key.owner))
        return key.identity


#: Takes a command, the sender in its subject, and where its reply goes; returns it with its identity.
Authenticate = Callable[[Command, str | None, str], Awaitable[Command]]


def authentication_middleware(authenticate: Authenticate) -> Callable[..., BaseMiddleware[Any, Any]]:
    """Return the middleware that gives each command the identity of its sender before it is handled."""

    class _Authentication(BaseMiddleware[Any, Any]):
        async def consume_scope(
            self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]
        ) -> Any:
            raw = msg.raw_message
            principal = subjects.parse_principal(raw.subject)
            received: Any = await msg.decode()
            command = await authenticate(received, principal, raw.reply)

            async def decoded(_: StreamMessage[Any]) -> Command:
                return command

            msg.set_decoder(decoded)
            return await call_next(msg)

    return _Authentication
