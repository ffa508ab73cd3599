"""The settings of an edge."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from sluiceway.contracts.identifiers import Name, RegionName
from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: The region whose rules are served.
    region: RegionName
    #: The name of this replica; its copy of the rules is stored under it.
    instance: Name = "edge"
    #: The port of the gRPC stream, which needs `sluiceway[grpc]`; not set: no stream.
    grpc_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    #: Held polls and event streams of one SDK key at the same time, and as many gRPC streams; at most half
    #: of all.
    streams_per_key: Annotated[int, Field(ge=10, le=10_000)] = 5_000
    #: The folder of the last good rules and keys, for a start without a broker.
    snapshot_dir: Path = Path("data/edges")
