"""The scheduler's environment."""

from typing import Annotated

from pydantic import Field

from sluiceway.messaging.rules_streams import STREAMS_MAX
from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: Each region has an account of its own at the broker, as `sluiceway broker-config` writes it, into which
    #: its rules and keys are copied.
    region_accounts: bool = False
    #: Streams that hold the rules; more than one has a group of the regions each. If there are more or fewer,
    #: all rules are deleted and written again. Not set: as many as there are, one at first.
    rules_streams: Annotated[int, Field(ge=1, le=STREAMS_MAX)] | None = None
    #: Commands handled at the same time.
    command_workers: Annotated[int, Field(ge=1, le=1_000)] = 64
    #: How long the stream AUDIT keeps records, and how many bytes of them; used when it is created. It gets
    #: fewer bytes if JetStream offers little.
    audit_days: Annotated[int, Field(ge=1, le=3_650)] = 400
    audit_bytes: Annotated[int, Field(ge=2**20, le=2**28)] = 2**28
    #: Due phases advanced at the same time, up to 50 of them together.
    ticker_workers: Annotated[int, Field(ge=1, le=1_000)] = 200
