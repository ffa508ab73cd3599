"""The same connection for FastStream's broker, which takes credentials and TLS in its own form."""

from typing import Any

from faststream.nats import NatsBroker
from faststream.nats.security import NatsCredentials, NatsSecurity, NatsToken, NatsUserPassword
from nats.aio.client import Client

from ..settings import BrokerSettings
from .connection import connect_options
from .message_size import SizeCheckedClient


class SizeCheckedBroker(NatsBroker):
    """FastStream's broker, with a client that publishes nothing for which it would lose its connection."""

    async def _connect(self) -> Client:
        client = SizeCheckedClient()
        await client.connect(**self._connection_kwargs)
        self.config.connect(client)
        return client


def faststream_options(settings: BrokerSettings, name: str) -> dict[str, Any]:
    """Return the options of `SizeCheckedBroker`, which connects as `connect_options` says."""
    options = connect_options(settings, name)
    tls = {"ssl_context": options.pop("tls", None)}
    credentials = options.pop("user_credentials", None)
    user, password, token = (options.pop(key, None) for key in ("user", "password", "token"))
    if credentials is not None:
        options["security"] = NatsCredentials(credentials, **tls)
    elif token is not None:
        options["security"] = NatsToken(token, **tls)
    elif user is not None:
        options["security"] = NatsUserPassword(user, password, **tls)
    elif tls["ssl_context"]:
        options["security"] = NatsSecurity(**tls)
    return options
