"""What a publisher has proved of RULES, so that the next one checks only what has changed since."""

from typing import Annotated

from pydantic import StringConstraints

from .identifiers import RegionName
from .rule_document import CompleteSet

#: A feature as text: `gate.new_checkout`.
FeatureText = Annotated[
    str, StringConstraints(pattern=r"^(gate|dynamic_config|segment)\.[A-Za-z0-9_-]{1,100}$")
]


class Checkpoint(CompleteSet):
    """RULES up to `rules_sequence` is what FEATURES up to `log_sequence` says, except for `unproved`.

    It is stored in RULES itself, so that both go back together. The fields of `CompleteSet` keep publishers
    of older versions from taking it for garbage.
    """

    region: RegionName = "checkpoint"
    #: The code that has projected, the limits that it has obeyed, and over how many streams the rules were
    #: spread.
    projection: str
    #: Which FEATURES that was: when the stream was created, and when the broker stored that message.
    log_created: str
    log_time_ms: int
    rules_created: str
    rules_sequence: int
    #: Keys that RULES held, also those that marked a deletion.
    documents: int
    #: Region → digest of what a projection reads of its document; with many regions, `*` → digest of all.
    regions: dict[str, str]
    #: Features that must be checked in any case.
    unproved: tuple[FeatureText, ...] = ()
