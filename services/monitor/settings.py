"""The monitor's environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: Alerts handed out and not answered yet, over all replicas; one that waits for a retry counts.
    alerts_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    #: Where guardrails are measured; without it they see nothing, and hold.
    prometheus_url: str | None = None
    #: A bearer token that it asks for.
    prometheus_token: SecretStr | None = None
    #: What an Alertmanager must show at `/alertmanager`; without it nobody may send there.
    alertmanager_token: SecretStr | None = None
    #: A file that says who is told of what; see `receivers`.
    receivers: Path | None = None
    #: Guardrails measured, and clearances answered, at once.
    guardrail_workers: Annotated[int, Field(ge=1, le=1_000)] = 64
