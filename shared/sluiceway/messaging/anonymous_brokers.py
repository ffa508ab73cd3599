"""Refuses brokers that let anybody connect, unless that is meant.

Such a broker believes everybody: who reaches it can read, write and delete all that is stored.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from ..settings import BrokerSettings
from .message_size import SizeCheckedClient

#: Fields of a broker's greeting: it asks for credentials, or for a certificate of its authority.
AUTH_REQUIRED, TLS_VERIFY = "auth_required", "tls_verify"


class AnonymousBrokerRefused(ConnectionError):
    """A broker lets anybody connect, and the settings do not permit that."""


def anonymous_broker_problem(
    settings: BrokerSettings, address: str, host: str, greeting: Mapping[str, Any]
) -> str | None:
    """Return why a broker that greets so is refused, and what to do; None if it is not.

    A broker with `no_auth_user` lets anybody connect as well. A certificate that it verifies keeps strangers
    out, but names no sender.
    """
    if greeting.get(AUTH_REQUIRED):
        return None
    if settings.require_identity:
        return (
            f"the broker at {address} asks nobody who they are, but SLUICEWAY_REQUIRE_IDENTITY is true: give "
            "it users, as `sluiceway broker-config` writes them, without no_auth_user; or unset the setting"
        )
    if greeting.get(TLS_VERIFY) or settings.allow_anonymous_broker or is_loopback(host):
        return None
    return (
        f"the broker at {address} is on another host and lets anybody connect: give it users, as "
        "`sluiceway broker-config` writes them, without no_auth_user; or set "
        "SLUICEWAY_ALLOW_ANONYMOUS_BROKER=true if nobody else can reach it"
    )


def is_loopback(host: str) -> bool:
    """Return whether a host of a URL is this one by its name or address; other names are not looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class IdentityCheckedClient(SizeCheckedClient):
    """A client that leaves a broker which lets anybody connect, before it has sent anything.

    nats-py then tries the next server, as for a broker that is away: it may get users while we wait.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        super().__init__()
        self._settings = settings

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        assert self._current_server
        uri = self._current_server.uri
        if initial_connection and (
            problem := anonymous_broker_problem(
                self._settings, f"{uri.hostname}:{uri.port}", uri.hostname or "", info
            )
        ):
            if self._transport:
                self._transport.close()  # type: ignore[no-untyped-call] # nats-py forgets this socket
            raise AnonymousBrokerRefused(problem)
        await super()._process_info(info, initial_connection)
