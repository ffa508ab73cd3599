"""The monitor's environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from sluiceway.settings import ServiceSettings, Token


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: Alerts that are delivered and not answered yet, over all replicas; one that waits for a retry counts.
    #: A source has at most 500, so that this many divided by 500 may flood before others wait for them.
    alerts_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    #: True: a source of alerts without an `AlertSource` document may take nothing back. False: it may take
    #: back everything.
    require_alert_sources: bool = False
    #: The Prometheus that guardrails query. Absent: every measurement is an error, so phases are held.
    prometheus_url: str | None = None
    #: A bearer token for Prometheus.
    prometheus_token: Token | None = None
    #: The bearer token that an Alertmanager sends to `/alertmanager`. Absent: all its requests are refused.
    alertmanager_token: Token | None = None
    #: A file that lists the receivers of notifications; see `receivers`.
    receivers: Path | None = None
    #: Guardrails that are measured, and clearances that are answered, at the same time.
    guardrail_workers: Annotated[int, Field(ge=1, le=1_000)] = 64
