"""The edge's environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from sluiceway.contracts.identifiers import Name, RegionName
from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: The region whose rules are held.
    region: RegionName
    #: Told apart from its replicas by this name; keeps its own copy of the rules under it.
    instance: Name = "edge"
    #: The port of the gRPC stream, which needs `sluiceway[grpc]`; absent: no stream.
    grpc_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    #: Where the last good rules are kept.
    snapshot_dir: Path = Path("data/edges")
