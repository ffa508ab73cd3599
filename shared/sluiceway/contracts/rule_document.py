"""The rule document that a region receives: one feature, in config-spec shapes.

These are the shapes that Statsig's Server Core SDKs read (`dcs-v2`); an edge merges the documents
of all features into one answer for them.
"""

from pydantic import Field, JsonValue

from .identifiers import FeatureKey, FeatureKind, Name, RegionName, TriggerId
from .models import WireEnum, WireModel

#: An epoch is a time in ms, or follows one: it may be so far ahead of the time at which the broker stored it.
#: The times of JetStream, ns of 63 bits, end in 2262, so no wrong clock of a broker comes near it.
EPOCH_AHEAD_MAX_MS = 10**13
#: Greater revisions are not of our streams; clients that read numbers as doubles know no greater ones.
REVISION_MAX = 2**53


def is_valid_epoch(epoch: int, stored_ms: int) -> bool:
    """Return whether a publisher can have begun `epoch` before the broker stored its message.

    The bound moves on with the clock, so there is always a greater epoch to begin.
    """
    return 0 <= epoch <= stored_ms + EPOCH_AHEAD_MAX_MS


class ListOperator(WireEnum):
    """Operators on a list of ids. No author writes them: they come from the ids of a segment."""

    #: the key of the value (`evaluation.compiled_conditions.member_key`) is in the list that the target names
    IN_SEGMENT_LIST = "in_segment_list"
    NOT_IN_SEGMENT_LIST = "not_in_segment_list"


class SpecCondition(WireModel):
    """A condition that is left for the SDK, since it is about the user."""

    type: str
    operator: str | None = None
    field: str | None = None
    target_value: JsonValue = None
    additional_values: dict[str, str] | None = None
    id_type: str = "userID"


class SpecRule(WireModel):
    """A rule; `conditions` are ids in the condition map."""

    name: str
    id: str
    pass_percentage: float
    return_value: JsonValue
    conditions: tuple[str, ...]
    id_type: str = "userID"
    salt: str | None = None
    group_name: str | None = None
    #: The dynamic config that is evaluated instead of this rule.
    config_delegate: str | None = None


class ConfigSpec(WireModel):
    """A gate or config."""

    type: str
    entity: str
    salt: str
    enabled: bool
    default_value: JsonValue
    rules: tuple[SpecRule, ...]
    id_type: str = "userID"
    version: int | None = None


class OverrideReference(WireModel):
    """A reference to an override rule."""

    rule_name: str = Field(alias="rule_name")
    #: When it starts to apply, in ms since 1970; absent: it always applies.
    start_time: int | None = Field(default=None, alias="start_time")


class OverrideMapping(WireModel):
    """Users who pass one of the rules are evaluated by another spec."""

    new_config_name: str = Field(alias="new_config_name")
    rules: tuple[OverrideReference, ...]


class SpecSet(WireModel):
    """A part of a config-spec payload."""

    feature_gates: dict[str, ConfigSpec] = Field(default={}, alias="feature_gates")
    dynamic_configs: dict[str, ConfigSpec] = Field(default={}, alias="dynamic_configs")
    condition_map: dict[str, SpecCondition] = Field(default={}, alias="condition_map")
    override_rules: dict[str, SpecRule] = Field(default={}, alias="override_rules")
    overrides: dict[str, tuple[OverrideMapping, ...]] = Field(default={}, alias="overrides")
    #: List → keys of its members, each the first 8 characters of base64(SHA-256(member)). Not a part
    #: of the payload: the SDKs fetch lists separately.
    member_lists: dict[str, tuple[str, ...]] = Field(default={}, alias="member_lists")


class RuleDocument(WireModel):
    """The rules by which one region evaluates one feature. The key in RULES names the region."""

    kind: FeatureKind
    name: Name
    #: Which reading of the log it comes from. A publisher begins a greater one whenever it reads the log
    #: from the start: the order of documents is (epoch, revision), also if the log went back.
    epoch: int = 0
    #: Sequence of the event in FEATURES that it came from.
    revision: int
    #: When that event happened.
    event_time_ms: int
    #: The trigger whose spec this document holds.
    trigger: TriggerId | None = None
    #: The trigger whose candidate the region held before it was taken back.
    reverted: TriggerId | None = None
    specs: SpecSet

    @property
    def key(self) -> FeatureKey:
        return FeatureKey(self.kind, self.name)

    @property
    def has_spec(self) -> bool:
        """Whether there is anything to evaluate."""
        is_config = self.kind is FeatureKind.DYNAMIC_CONFIG
        named, name = self.specs.dynamic_configs if is_config else self.specs.feature_gates, self.spec_name
        return name in named or name in self.specs.overrides

    @property
    def spec_name(self) -> str:
        """The name that the feature's own spec has among the specs."""
        return self.key.spec_name


class CompleteSet(WireModel):
    """The mark that RULES holds everything that a region receives, as of one place in the log.

    A publisher writes it once it has read the log to its end and published what was missing.
    """

    region: RegionName
    epoch: int
    #: Last sequence of FEATURES that was read; 0 if the log is empty.
    log_sequence: int
