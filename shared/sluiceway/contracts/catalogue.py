"""Environments and regions: where features are evaluated."""

from typing import Annotated, Literal

from pydantic import Field

from .conditions import Scalar
from .identifiers import Name, RegionName
from .model import Authored

ATTRIBUTES_MAX = 50


class Environment(Authored):
    """development, staging, production, …"""

    kind: Literal["Environment"] = "Environment"
    name: Name
    is_production: bool = False
    #: False: a change that touches only such environments goes live at once.
    requires_release_pipeline: bool = True


class Region(Authored):
    """One place that receives rules. Its attributes decide `custom_field` conditions of that name."""

    kind: Literal["Region"] = "Region"
    name: RegionName
    environment: Name
    attributes: Annotated[dict[str, Scalar], Field(max_length=ATTRIBUTES_MAX)] = {}
