"""Pipeline and phase: the ordered plan that an author writes."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, model_validator
from pydantic.main import IncEx

from .bounded_lists import FIRST_ERROR, at_most
from .conditions import Condition
from .durations import convert_durations
from .guardrails import GUARDRAILS_MAX, Guardrail
from .identifiers import Label, Name, slug
from .models import AuthoredModel, WireEnum

#: Ten years: a longer bake is probably a typo.
INTERVAL_MAX_MS = 10 * 365 * 86_400_000
PHASES_MAX = 50
RULES_MAX = 100
APPROVALS_MAX = 20
GROUPS_MAX = 50


class PhaseRule(AuthoredModel):
    """A part of a phase's segment: one of its environments, and all of its conditions."""

    name: Label
    id: Label | None = None
    #: Empty or absent: every environment.
    environments: Annotated[tuple[Name, ...], FIRST_ERROR] | None = None
    conditions: Annotated[tuple[Condition, ...], FIRST_ERROR] = ()


class RollbackScope(WireEnum):
    """How far a rollback goes."""

    #: the candidate is taken back everywhere, and the trigger ends
    TRIGGER = "trigger"
    #: only the newest phase is taken back, and the trigger is paused
    PHASE = "phase"


class Approvals(AuthoredModel):
    """Who must agree before a phase starts. Each person counts once."""

    #: How many different people.
    count: Annotated[int, Field(strict=True, ge=1, le=APPROVALS_MAX)] = 1
    #: Each of them must be in one of these groups, by a vouched identity; absent: anybody.
    groups: Annotated[tuple[Label, ...], FIRST_ERROR, Field(min_length=1, max_length=GROUPS_MAX)] | None = (
        None
    )
    #: Whether the person who started the release may be one of them.
    allow_author: StrictBool = False


class Phase(AuthoredModel):
    """A release segment: users who match one of its rules receive the candidate once it starts.

    YAML may say `timeInterval: 30m` instead of `timeIntervalMs`.
    """

    model_config = ConfigDict(json_schema_extra=lambda schema: _make_id_optional(schema))

    id: Name
    name: Label
    #: How long the phase bakes before the next one may start, counted from its start.
    time_interval_ms: Annotated[int, Field(strict=True, ge=0, le=INTERVAL_MAX_MS)] = 0
    required_review: StrictBool = False
    #: Who must approve it, if one approval by anybody is not enough; implies `requiredReview`.
    approvals: Approvals | None = None
    #: What watches the phase, from its start until the trigger's observation ends.
    guardrails: Annotated[
        tuple[Guardrail, ...], Field(max_length=GUARDRAILS_MAX), at_most(GUARDRAILS_MAX)
    ] = ()
    rules: Annotated[tuple[PhaseRule, ...], Field(min_length=1, max_length=RULES_MAX), at_most(RULES_MAX)]

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        return convert_durations(_with_review(_with_id(data)), "timeInterval")

    @model_validator(mode="after")
    def _approvals_are_reviewed(self) -> Self:
        if self.approvals and not self.required_review:
            raise ValueError("approvals need a review: remove requiredReview, or set it to true")
        return self

    @model_validator(mode="after")
    def _guardrails_are_distinct(self) -> Self:
        if name := _duplicate([guardrail.name for guardrail in self.guardrails]):
            raise ValueError(f"duplicate guardrail name {name!r}: give each guardrail its own name")
        return self


#: Fields of a phase that only the runs of a trigger are written with.
_ONLY_IN_RUNS: IncEx = {
    "phases": {"__all__": {"time_interval_ms", "required_review", "approvals", "guardrails"}}
}


class Pipeline(AuthoredModel):
    """An ordered plan of phases; its id is what features attach to."""

    model_config = ConfigDict(json_schema_extra=lambda schema: _make_id_optional(schema))

    kind: Literal["ReleasePipeline"] = "ReleasePipeline"
    id: Name
    name: Label
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=PHASES_MAX), at_most(PHASES_MAX)]
    #: Shown to people who are about to start a release.
    trigger_notice: Annotated[str, Field(max_length=1_000)] | None = None
    #: How long guardrails and alerts may still roll a completed release back. YAML: `observeFor: 1h`.
    observe_for_ms: Annotated[int, Field(strict=True, ge=0, le=INTERVAL_MAX_MS)] = 0
    rollback_scope: RollbackScope = RollbackScope.TRIGGER
    #: True: a phase ends only when every instance that reports from its regions has applied it. A region
    #: from which nothing reports delays no release. False: nor does one that is stuck.
    require_confirmation: StrictBool = True

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        return convert_durations(_with_id(data), "observeFor")

    @model_validator(mode="after")
    def _phases_are_distinct(self) -> Self:
        if id_ := _duplicate([phase.id for phase in self.phases]):
            raise ValueError(f"duplicate phase id {id_!r}: give each phase its own id")
        return self

    @cached_property
    def stored_json(self) -> bytes:
        """The JSON form that triggers have, encoded once: without default values, and with parts of phases.

        The runs of a trigger have the rest; by these parts services of the last version decide.
        """
        return self.model_dump_json(exclude_defaults=True, exclude=_ONLY_IN_RUNS).encode()


def _duplicate(names: Sequence[str]) -> str | None:
    """Return the first name that occurs more than once."""
    if len(set(names)) == len(names):  # as in every stored event; it costs a tenth of counting them
        return None
    return next(name for name, count in Counter(names).items() if count > 1)


def _make_id_optional(schema: dict[str, Any]) -> None:
    """Let a JSON schema leave an id out, or make it null: it is derived from the name."""
    schema["required"] = [name for name in schema["required"] if name != "id"]
    schema["properties"]["id"] = {"anyOf": [schema["properties"]["id"], {"type": "null"}]}


def _with_id(data: Any) -> Any:
    if isinstance(data, dict) and data.get("id") is None and isinstance(data.get("name"), str):
        return {**data, "id": slug(data["name"])}
    return data


def _with_review(data: Any) -> Any:
    if isinstance(data, dict) and data.get("approvals") is not None:
        return {"requiredReview": True, **data} if "required_review" not in data else data
    return data
