"""Who sent a command: the sender in its subject, and keys → the identity that decisions trust.

The broker's permissions let each user publish only to subjects that end with its own name. So the sender
in the subject can be trusted; what a command says about its own sender cannot.
"""

from sluiceway.clock import Clock
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import Command
from sluiceway.contracts.identity import CONSOLE, MONITOR, Grant, Identity, Role
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.delivery import UnauthorizedSender
from sluiceway.pipelines import refusals
from sluiceway.pipelines.permissions import denied_by_verb

MONITOR_IDENTITY = Identity(name=MONITOR, grants=(Grant(role=Role.OPERATOR),), vouched_by=MONITOR)


class Authenticator:
    """Finds out who sent a command."""

    def __init__(self, catalogue: CatalogueView, clock: Clock, *, required: bool) -> None:
        """`required`: refuse commands that nobody vouches for."""
        self._catalogue = catalogue
        self._clock = clock
        self._required = required

    async def sender(self, model: type[Command], principal: str | None, reply_to: str) -> Identity | None:
        """Return who sends a command, as far as its subject tells; None: nobody, or the console says whom.

        `UnauthorizedSender` if the sender may not send a command of this kind, whatever it says: so nothing
        is spent on it. `principal` is the sender that the subject names. A command is a request: one that
        comes from a stream, or has no inbox for its reply, was published by the broker for somebody who may
        only read.
        """
        if (reply_to or principal) and not subjects.is_inbox(reply_to):
            raise UnauthorizedSender(refusals.not_a_request(model.verb))
        if principal is None and self._required:
            raise UnauthorizedSender(refusals.unauthenticated(model.verb))
        if principal is None or principal == CONSOLE:
            return None
        if principal == MONITOR:
            return MONITOR_IDENTITY
        identity = await self._identity_of_key(principal)
        if refusal := denied_by_verb(model, identity):
            raise UnauthorizedSender(refusal)
        return identity

    def identified(self, command: Command, principal: str | None, identity: Identity | None) -> Command:
        """Return a command with the identity of its `sender`; that of the console says for whom it is."""
        if principal == CONSOLE:
            identity = command.identity
            if identity is None:
                raise UnauthorizedSender(refusals.missing_identity(principal, command.verb))
        if identity is None:
            return command.model_copy(update={"identity": None}) if command.identity else command
        return command.model_copy(update={"identity": identity, "actor": identity.name})

    async def _identity_of_key(self, key_id: str) -> Identity:
        await self._catalogue.catch_up()
        key = self._catalogue.api_key(key_id)
        if key is None:
            raise UnauthorizedSender(refusals.revoked_key(key_id))
        if key.has_expired(self._clock()):
            raise UnauthorizedSender(refusals.expired_key(key_id, key.owner))
        return key.identity
