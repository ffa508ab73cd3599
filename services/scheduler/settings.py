"""The scheduler's environment."""

from typing import Annotated

from pydantic import Field

from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: Refuse commands that nobody is vouched for: those on subjects without a principal.
    require_identity: bool = False
    #: Commands answered at once.
    command_workers: Annotated[int, Field(ge=1, le=1_000)] = 64
    #: Due phases decided at once.
    ticker_workers: Annotated[int, Field(ge=1, le=1_000)] = 32
