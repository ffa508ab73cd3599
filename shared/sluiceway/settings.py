"""Settings that every service shares, read from the environment (`SLUICEWAY_…`)."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from .contracts.identifiers import NAME_PATTERN


def _without_brackets(host: str) -> str:
    """Return an IPv6 address without the brackets that it has in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


class BrokerSettings(BaseSettings):
    """How to reach NATS."""

    model_config = SettingsConfigDict(env_prefix="SLUICEWAY_", env_ignore_empty=True, frozen=True)

    #: Comma-separated URLs of the cluster.
    nats_url: str = "nats://127.0.0.1:4222"
    #: A `.creds` file, if the broker requires one.
    nats_creds: Path | None = None
    #: The last token of the subjects of commands, if the broker's permissions vouch for it: the id of a key,
    #: whose grants then count.
    principal: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    #: A certificate authority file, if the broker uses TLS with its own authority.
    nats_ca: Path | None = None
    #: Copies of every stream: 1 on a laptop, 3 on a cluster.
    stream_replicas: Annotated[int, Field(ge=1, le=5)] = 1


class ServiceSettings(BrokerSettings):
    """The settings that every process needs as well as its own."""

    #: Where `/metrics`, `/healthz` and `/readyz` are served; port 0 means any free port. The host `::` means
    #: all addresses of IPv6 and IPv4.
    http_host: Annotated[str, AfterValidator(_without_brackets)] = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    #: A file that receives the URL once the port is open.
    http_announce: Path | None = None
    #: `json` for machines, `text` for people.
    log_format: Annotated[str, Field(pattern="^(json|text)$")] = "json"
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
