"""The settings of an edge."""

import re
import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field

from sluiceway.contracts.identifiers import Name, RegionName
from sluiceway.settings import ServiceSettings

#: As `Name` has it.
INSTANCE_LENGTH_MAX = 100


def instance_of(host: str) -> str:
    """Return the name of an instance for a host: each character that a name may not have becomes a dash."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", host)[:INSTANCE_LENGTH_MAX] or "edge"


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: The region whose rules are served.
    region: RegionName
    #: The name of this replica; its copy of the rules is stored under it, and it reports by it. Without it,
    #: the name of the host: set it where that changes with each start, as in containers.
    instance: Name = Field(default_factory=lambda: instance_of(socket.gethostname()))
    #: The port of the gRPC stream, which needs `sluiceway[grpc]`; not set: no stream.
    grpc_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    #: Held polls and event streams of one SDK key at the same time, and as many gRPC streams; at most half
    #: of all.
    streams_per_key: Annotated[int, Field(ge=10, le=10_000)] = 5_000
    #: Whether the rules count as old if no publisher was heard since the start. Set it to false if all
    #: publishers are of a version that sends no heartbeats.
    expect_heartbeats: bool = True
    #: The folder of the last good rules and keys, for a start without a broker.
    snapshot_dir: Path = Path("data/edges")
