"""The edge's environment."""

from pathlib import Path

from sluiceway.contracts.identifiers import Name, RegionName
from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: The region whose rules are held.
    region: RegionName
    #: Told apart from its replicas by this name; keeps its own copy of the rules under it.
    instance: Name = "edge"
    #: Where the last good rules are kept.
    snapshot_dir: Path = Path("data/edges")
