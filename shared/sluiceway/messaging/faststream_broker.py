"""FastStream's broker, on the same connection as everything else."""

from typing import Any

from faststream.nats import NatsBroker
from nats.aio.client import Client

from ..settings import BrokerSettings
from .connection import connect_options, security_options
from .tls import new_client


class ConfiguredBroker(NatsBroker):
    """A broker that connects as the settings say.

    Credentials and TLS do not pass through FastStream, whose forms of them cannot read files again, and which
    would connect without TLS to a server that offers none.
    """

    def __init__(self, settings: BrokerSettings, name: str, **options: Any) -> None:
        super().__init__(**connect_options(settings, name), **options)
        self._settings = settings

    async def _connect(self) -> Client:
        client = new_client(self._settings)
        await client.connect(**self._connection_kwargs, **security_options(self._settings))
        self.config.connect(client)
        return client
