"""Environments, regions and their keys: where features are evaluated."""

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from .bounded_lists import at_most
from .conditions import Scalar
from .identifiers import Name, RegionName
from .models import AuthoredModel

ATTRIBUTES_MAX = 50


class Environment(AuthoredModel):
    """development, staging, production, …"""

    kind: Literal["Environment"] = "Environment"
    name: Name
    is_production: StrictBool = False
    #: False: a change that touches only such environments goes live immediately.
    requires_release_pipeline: StrictBool = True


class Region(AuthoredModel):
    """A place that receives rules. Its attributes decide the `custom_field` conditions of that name."""

    kind: Literal["Region"] = "Region"
    name: RegionName
    environment: Name
    attributes: Annotated[dict[str, Scalar], Field(max_length=ATTRIBUTES_MAX), at_most(ATTRIBUTES_MAX)] = {}


class SdkKey(AuthoredModel):
    """A key with which a process reads the rules of a region, or of every region of an environment."""

    kind: Literal["SdkKey"] = "SdkKey"
    #: The public part of the key.
    id: Name
    region: RegionName | None = None
    environment: Name | None = None
    #: SHA-256 of the whole key, in hex.
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    created_ms: int

    @model_validator(mode="after")
    def _has_one_scope(self) -> Self:
        if (self.region is None) == (self.environment is None):
            raise ValueError("a key is for one region or one environment: give exactly one of the two")
        return self
