"""Who is vouched for: what stands in a command's subject and keys → the identity that decisions trust.

The broker's permissions let each of its users publish only to subjects that end with its own name. So
that name is beyond doubt, and what a command says of its sender is not.
"""

from sluiceway.clock import Clock
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import Command
from sluiceway.contracts.identity import CONSOLE, MONITOR, Grant, Identity, Role
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.delivery import Denied

MONITORS_GRANTS = (Grant(role=Role.OPERATOR),)


class Authenticator:
    """Puts the identity that is vouched for into each command."""

    def __init__(self, catalogue: CatalogueView, clock: Clock, *, required: bool) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._required = required

    async def authenticate(self, command: Command, principal: str | None, reply_to: str) -> Command:
        """Return the command by whom it really is; `Denied` where it may not be sent like this.

        A command is a request. What comes from a stream, or without an address for the answer, was not
        published by a sender, but by the broker for one who may merely read.
        """
        if (reply_to or principal) and not subjects.is_inbox(reply_to):
            raise Denied(f"{command.verb} was not sent as a request; send it with an inbox for the answer")
        identity = await self._identity(command, principal)
        if identity is None:
            return command.model_copy(update={"identity": None})
        return command.model_copy(update={"identity": identity, "actor": identity.name})

    async def _identity(self, command: Command, principal: str | None) -> Identity | None:
        match principal:
            case None if self._required:
                raise Denied(
                    f"nobody vouches for {command.actor}: send {command.verb} via the console, or with "
                    f"a key's credentials to sluiceway.commands.{command.verb}.<id> (SLUICEWAY_PRINCIPAL)"
                )
            case None:
                return None
            case _ if principal == CONSOLE:
                if command.identity is None:
                    raise Denied(f"the console sent {command.verb} without saying for whom")
                return command.identity
            case _ if principal == MONITOR:
                return Identity(name=MONITOR, grants=MONITORS_GRANTS, vouched_by=MONITOR)
            case _:
                return await self._of_key(principal)

    async def _of_key(self, id_: str) -> Identity:
        await self._catalogue.reached_end()
        key = self._catalogue.catalogue().api_keys.get(id_)
        if key is None:
            raise Denied(f"there is no key {id_!r}: it was revoked, or never created")
        if key.has_expired(self._clock()):
            raise Denied(f"key {id_} of {key.owner} has expired; ask an admin for a new one")
        return key.identity
