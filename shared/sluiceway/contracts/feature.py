"""Feature, spec, trigger: the state that every event carries."""

import json
import operator
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, JsonValue, StrictBool, model_validator
from pydantic.main import IncEx

from .bounded_lists import FIRST_ERROR, at_most
from .conditions import Condition
from .identifiers import FeatureKey, FeatureKind, Label, Name, TriggerId
from .models import AuthoredModel, WireEnum, WireModel, is_absent, with_field
from .persons import Account, Person
from .pipeline import RULES_MAX, Phase
from .plans import PlannedPhase, PlannedPipeline

T = TypeVar("T")

#: How many commands a feature remembers, so that one sent twice is applied once.
RECENT_COMMANDS_MAX = 32
#: How many actions a trigger carries; the log holds them all.
ACTIONS_MAX = 50

#: Members that a segment lists by their id.
IDS_MAX = 5_000
#: What is encoded once for all events that have it, apart from the rest.
_APART_IN_TRIGGER: IncEx = {"actions", "pipeline"}
_SPECS = ("base", "previous", "candidate")
_APART_IN_FEATURE: IncEx = {"trigger", *_SPECS}

Percentage = Annotated[float, Field(ge=0, le=100, strict=True)]


def _json_object(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return an object that JSON can hold; `ValueError` for NaN and Infinity, which would become null."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("NaN and Infinity are not valid in JSON: use a finite number or null") from None
    return value


#: The value of a config: a JSON object.
ConfigValue = Annotated[dict[str, JsonValue], AfterValidator(_json_object)]


class FeatureRule(AuthoredModel):
    """Who gets which value: users for whom all conditions hold, in one of the environments."""

    name: Label
    #: Also the salt of the percentage; absent: the name.
    id: Label | None = None
    pass_percentage: Percentage = 100.0
    conditions: Annotated[tuple[Condition, ...], FIRST_ERROR] = ()
    #: Empty or absent: every environment.
    environments: Annotated[tuple[Name, ...], FIRST_ERROR] | None = None


class GateRule(FeatureRule):
    """A rule of a gate; users who pass it get `returnValue`."""

    return_value: StrictBool = True


class ConfigRule(FeatureRule):
    """A rule of a dynamic config; users who pass it get `returnValue`."""

    return_value: ConfigValue


class _FeatureDocument(AuthoredModel):
    name: Name
    is_enabled: StrictBool = True
    description: Annotated[str, Field(max_length=1_000)] = ""
    #: The unit of percentages: `userID`, or a key of the user's `customIDs`.
    id_type: Label = "userID"
    release_pipeline_id: Name | None = None


class FeatureGate(_FeatureDocument):
    """A gate as its author writes it."""

    kind: Literal["FeatureGate"] = "FeatureGate"
    rules: Annotated[tuple[GateRule, ...], Field(max_length=RULES_MAX), at_most(RULES_MAX)] = ()

    @property
    def key(self) -> FeatureKey:
        return FeatureKey(FeatureKind.GATE, self.name)

    @property
    def default_value(self) -> JsonValue:
        return False


class DynamicConfig(_FeatureDocument):
    """A dynamic config as its author writes it."""

    kind: Literal["DynamicConfig"] = "DynamicConfig"
    rules: Annotated[tuple[ConfigRule, ...], Field(max_length=RULES_MAX), at_most(RULES_MAX)] = ()
    default_value: ConfigValue = {}

    @property
    def key(self) -> FeatureKey:
        return FeatureKey(FeatureKind.DYNAMIC_CONFIG, self.name)


class Segment(_FeatureDocument):
    """A named set of users: those who match a rule, or have one of the ids."""

    kind: Literal["Segment"] = "Segment"
    rules: Annotated[tuple[GateRule, ...], Field(max_length=RULES_MAX), at_most(RULES_MAX)] = ()
    #: Ids of the kind `idType` that are members even if no rule matches; case-sensitive.
    ids: Annotated[tuple[Label, ...], FIRST_ERROR, Field(max_length=IDS_MAX)] = ()

    @property
    def key(self) -> FeatureKey:
        return FeatureKey(FeatureKind.SEGMENT, self.name)

    @property
    def default_value(self) -> JsonValue:
        return False


FeatureDocument = Annotated[FeatureGate | DynamicConfig | Segment, Field(discriminator="kind")]


class Spec(WireModel):
    """One version of a feature."""

    #: Counts the saved versions of the feature, from 1.
    version: int
    #: The trigger that released it; absent: it went live without a release.
    trigger: TriggerId | None = None
    is_enabled: bool
    description: str = ""
    id_type: str
    default_value: JsonValue
    rules: tuple[GateRule | ConfigRule, ...]
    #: Members of a segment, by id.
    ids: tuple[str, ...] = ()

    @cached_property
    def stored_json(self) -> bytes:
        """The JSON form that events have, without default values: encoded once, however many have it."""
        return self.model_dump_json(exclude_defaults=True).encode()


class TriggerStatus(WireEnum):
    """State of a trigger. The first three are active."""

    #: the current phase bakes
    IN_PROGRESS = "IN_PROGRESS"
    #: the bake timer is stopped; what is released stays released
    PAUSED = "PAUSED"
    #: the current phase has not started: it needs an approval
    WAITING_FOR_REVIEW = "WAITING_FOR_REVIEW"
    #: the candidate became the base everywhere
    COMPLETED = "COMPLETED"
    #: a person took the candidate back
    ABORTED = "ABORTED"
    #: the monitor took the candidate back
    ROLLED_BACK = "ROLLED_BACK"

    @property
    def is_active(self) -> bool:
        return self in (TriggerStatus.IN_PROGRESS, TriggerStatus.PAUSED, TriggerStatus.WAITING_FOR_REVIEW)


class ActionType(WireEnum):
    """What was done to a trigger, by a person, by time or by the monitor."""

    STARTED = "STARTED"
    #: the bake of the phase is over, and the next one started or waits for review
    ADVANCED = "ADVANCED"
    APPROVED_FOR = "APPROVED_FOR"
    PAUSED = "PAUSED"
    UNPAUSED = "UNPAUSED"
    SKIPPED = "SKIPPED"
    #: the current phase bakes for longer
    EXTENDED = "EXTENDED"
    #: the bake of the phase is over, but something holds the trigger in it
    HELD = "HELD"
    FULL_ROLL_OUT = "FULL_ROLL_OUT"
    COMPLETED = "COMPLETED"
    ABORTED = "ABORTED"
    ROLLED_BACK = "ROLLED_BACK"
    #: the newest phase was taken back, and the trigger is paused before it
    PHASE_ROLLED_BACK = "PHASE_ROLLED_BACK"


class Action(WireModel):
    """One action on a trigger."""

    type: ActionType
    time_ms: int
    phase_id: str | None
    actor_id: str
    reason: str | None = None
    #: The freezes that the actor overrode.
    overrode: tuple[str, ...] = ()

    def to_stored_json(self) -> bytes:
        """Return the JSON form that events have, without default values."""
        return self.model_dump_json(exclude_defaults=True).encode()


class EncodedActions(tuple[Action, ...]):
    """Actions, and the JSON of each: it is encoded once, however many events have it.

    Each step of a trigger bounds and stores all of them, without a look at a single one.
    """

    #: As events have them.
    encoded: tuple[bytes, ...]
    types: tuple[ActionType, ...]

    @classmethod
    def of(cls, actions: tuple[Action, ...]) -> "EncodedActions":
        """Return actions with the JSON of each, which is known already if they are of this class."""
        if isinstance(actions, cls):
            return actions
        encoded, types = [action.to_stored_json() for action in actions], [action.type for action in actions]
        return cls._with(actions, tuple(encoded), tuple(types))

    @classmethod
    def _with(
        cls, actions: Iterable[Action], encoded: tuple[bytes, ...], types: tuple[ActionType, ...]
    ) -> "EncodedActions":
        made = cls(actions)
        made.encoded, made.types = encoded, types
        return made

    def followed_by(self, action: Action) -> "EncodedActions":
        """Return the actions, and one more."""
        encoded, types = (*self.encoded, action.to_stored_json()), (*self.types, action.type)
        return self._with((*self, action), encoded, types)

    def only(self, older: Sequence[int], first: int) -> "EncodedActions":
        """Return the actions at the places `older`, and all from the place `first` on."""

        def kept(values: tuple[T, ...]) -> tuple[T, ...]:
            return (*[values[place] for place in older], *values[first:])

        return self._with(kept(self), kept(self.encoded), kept(self.types))


class Approval(WireModel):
    """One person's agreement that a phase may start."""

    actor_id: str
    time_ms: int
    #: The key that it was given with, and when that was created: a later key may have the same id.
    #: Absent: it was given without a key.
    key_id: str | None = None
    key_created_ms: int | None = None
    #: The person's account; absent: unknown, or an older version has stored it.
    account: Annotated[Account | None, Field(exclude_if=is_absent)] = None

    @property
    def person(self) -> Person:
        return Person(self.actor_id, self.account)


class PhaseRun(WireModel):
    """A phase of a running trigger."""

    phase: PlannedPhase
    #: Given since the phase began to wait for them, oldest first, one per person.
    approvals: tuple[Approval, ...] = ()
    #: When the phase started; absent: its segment never received the candidate.
    started_ms: int | None = None
    ended_ms: int | None = None
    #: True: somebody skipped it while it waited for review.
    skipped: bool = False


class Trigger(WireModel):
    """One run of a pipeline for one change of one feature, with its own copy of the pipeline.

    Its pipeline and its runs have the same phases, but a stored event has only parts of the pipeline's.
    """

    id: TriggerId
    pipeline: PlannedPipeline
    status: TriggerStatus
    phases: tuple[PhaseRun, ...]
    #: Index of the phase that bakes or waits; once the trigger has ended, of the last phase reached.
    current: int
    #: When the bake of the current phase ends; absent while no phase bakes.
    due_ms: int | None = None
    #: Rest of the bake when the trigger was paused; absent if the phase had not started.
    remaining_ms: int | None = None
    #: Why the trigger may not leave a phase whose bake is over.
    held: tuple[str, ...] = ()
    creator_id: str
    #: The account of who started it; absent: unknown, or an older version has stored it.
    creator_account: Annotated[Account | None, Field(exclude_if=is_absent)] = None
    created_ms: int
    ended_ms: int | None = None
    #: Until when a completed release may still be rolled back.
    observed_until_ms: int | None = None
    description: str | None = None
    actions: tuple[Action, ...]

    @model_validator(mode="after")
    def _share_phases(self) -> Self:
        """Let the pipeline have the phases of the runs, in memory once."""
        phases = tuple(run.phase for run in self.phases)
        if all(map(operator.is_, phases, self.pipeline.phases)):
            return self
        if [phase.id for phase in phases] == [phase.id for phase in self.pipeline.phases]:
            self.__dict__["pipeline"] = self.pipeline.model_copy(update={"phases": phases})
        return self

    def to_stored_json(self) -> bytes:
        """Return the JSON form as in `Feature.to_stored_json`."""
        rest = self.model_dump_json(exclude_defaults=True, exclude=_APART_IN_TRIGGER).encode()
        actions = b",".join(EncodedActions.of(self.actions).encoded)
        return with_field(
            with_field(rest, "pipeline", self.pipeline.stored_json), "actions", b"[%b]" % actions
        )

    @property
    def creator(self) -> Person:
        return Person(self.creator_id, self.creator_account)

    @property
    def current_run(self) -> PhaseRun:
        return self.phases[self.current]

    @property
    def released(self) -> tuple[Phase, ...]:
        """The phases whose segments have received the candidate."""
        return tuple(run.phase for run in self.phases if run.started_ms is not None)

    def is_observed(self, now_ms: int) -> bool:
        """Return whether it completed so recently that it may still be rolled back."""
        return self.observed_until_ms is not None and now_ms < self.observed_until_ms


class Feature(WireModel):
    """The whole state of a feature."""

    kind: FeatureKind
    name: Name
    #: Never changes: with a new one, percentages would include other users.
    salt: str
    release_pipeline_id: str | None = None
    #: What is live outside the release; absent before the first version is live.
    base: Spec | None = None
    #: The base before the release that is observed; absent if there was none.
    previous: Spec | None = None
    #: What the active trigger releases.
    candidate: Spec | None = None
    #: The newest run, active or ended.
    trigger: Trigger | None = None
    #: How many versions were saved, and how many triggers were started.
    versions: int = 0
    runs: int = 0
    archived: bool = False
    #: The commands that led here last; see `IdempotencyKey`.
    recent_commands: tuple[str, ...] = ()

    @property
    def key(self) -> FeatureKey:
        return FeatureKey(self.kind, self.name)

    @property
    def active_trigger(self) -> Trigger | None:
        return self.trigger if self.trigger and self.trigger.status.is_active else None

    def watched_trigger(self, now_ms: int) -> Trigger | None:
        """Return the release that alerts and guardrails watch: an active one, or one still observed."""
        trigger = self.trigger
        if trigger is None or trigger.status.is_active:
            return trigger
        is_live = self.base is not None and self.base.trigger == trigger.id and not self.archived
        return trigger if is_live and trigger.is_observed(now_ms) else None

    def to_stored_json(self) -> bytes:
        """Return the JSON form that events and replies have, in UTF-8.

        It is without default values, and has each phase's plan once. A reader loses nothing.
        """
        encoded = self.model_dump_json(exclude_defaults=True, exclude=_APART_IN_FEATURE).encode()
        for name, spec in zip(_SPECS, (self.base, self.previous, self.candidate), strict=True):
            if spec:
                encoded = with_field(encoded, name, spec.stored_json)
        return with_field(encoded, "trigger", self.trigger.to_stored_json()) if self.trigger else encoded

    def changed(self, **fields: Any) -> "Feature":
        """Return a copy with these fields; their values are not validated."""
        return self.model_copy(update=fields)
