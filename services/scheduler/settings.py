"""The scheduler's environment."""

from typing import Annotated

from pydantic import Field

from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: Refuse commands on subjects that name no sender: nobody vouches for them.
    require_identity: bool = False
    #: Commands handled at the same time.
    command_workers: Annotated[int, Field(ge=1, le=1_000)] = 64
    #: Due phases advanced at the same time.
    ticker_workers: Annotated[int, Field(ge=1, le=1_000)] = 32
