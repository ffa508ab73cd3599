"""The monitor's environment."""

from typing import Annotated

from pydantic import Field

from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: Alerts handed out and not answered yet, over all replicas; one that waits for a retry counts.
    alerts_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 1_000
