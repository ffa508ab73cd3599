"""The same connection for FastStream's broker, which takes credentials and TLS in its own form."""

from typing import Any

from faststream.nats.security import NatsCredentials, NatsSecurity, NatsToken, NatsUserPassword

from ..settings import BrokerSettings
from .connection import connect_options


def faststream_options(settings: BrokerSettings, name: str) -> dict[str, Any]:
    """Return the options of `NatsBroker`, which connects as `connect_options` says."""
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
