"""The scheduler's environment."""

from typing import Annotated

from pydantic import Field

from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: Commands answered at once.
    command_workers: Annotated[int, Field(ge=1, le=1_000)] = 64
    #: Due phases decided at once.
    ticker_workers: Annotated[int, Field(ge=1, le=1_000)] = 32
