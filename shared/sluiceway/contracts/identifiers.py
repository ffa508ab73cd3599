"""Names of features, regions and triggers, and their syntax."""

import re
from typing import Annotated, NamedTuple

from pydantic import StringConstraints

from .models import WireEnum

#: A name is one token of a subject: no dot, no wildcard, no space.
NAME_PATTERN = r"^[A-Za-z0-9_-]{1,100}$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
RegionName = Name
#: Prefix of a segment's name in conditions and payloads.
SEGMENT_PREFIX = "segment:"
Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class FeatureKind(WireEnum):
    """Kind of a feature; a token of its subject."""

    GATE = "gate"
    DYNAMIC_CONFIG = "dynamic_config"
    #: a named set of users, which gates and configs refer to
    SEGMENT = "segment"


class FeatureKey(NamedTuple):
    """The identity of a feature; as text `gate.new_checkout`."""

    kind: FeatureKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.name}"

    @property
    def spec_name(self) -> str:
        """The name of its spec in a config-spec payload, in which segments are listed with the gates."""
        return f"{SEGMENT_PREFIX}{self.name}" if self.kind is FeatureKind.SEGMENT else self.name


#: `<kind>.<feature>.<run>`, for example `gate.new_checkout.3`: the third run of that feature.
TriggerId = Annotated[
    str, StringConstraints(pattern=r"^(gate|dynamic_config|segment)\.[A-Za-z0-9_-]{1,100}\.[1-9][0-9]{0,8}$")
]


def trigger_id(key: FeatureKey, run: int) -> str:
    """Return the id of the `run`-th trigger (from 1) of a feature."""
    return f"{key}.{run}"


def feature_key(text: str) -> FeatureKey:
    """Return the feature that a text such as `gate.new_checkout` names."""
    kind, name = text.split(".")
    return FeatureKey(FeatureKind(kind), name)


def feature_of(trigger: str) -> FeatureKey:
    """Return the feature that a valid `TriggerId` names."""
    return feature_key(trigger.rpartition(".")[0])


def run_of(trigger: str) -> int:
    """Return which run of its feature a valid `TriggerId` names, from 1."""
    return int(trigger.rpartition(".")[2])


def slug(text: str) -> str:
    """Return `text` as a `Name`; characters that a name must not have become dashes."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:100]
