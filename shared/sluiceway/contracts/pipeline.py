"""Pipeline and phase: the ordered plan that an author writes."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .conditions import Condition
from .durations import milliseconds
from .identifiers import Label, Name, slug
from .model import Authored

#: Ten years: a longer bake is a typing mistake.
INTERVAL_MAX_MS = 10 * 365 * 86_400_000
PHASES_MAX = 50
RULES_MAX = 100


class PhaseRule(Authored):
    """A part of a phase's segment: one of its environments, and all of its conditions."""

    name: Label
    id: Label | None = None
    #: Empty or absent: every environment.
    environments: tuple[Name, ...] | None = None
    conditions: tuple[Condition, ...] = ()


class Phase(Authored):
    """A release segment: whoever matches one of its rules receives the candidate once it starts.

    YAML may say `timeInterval: 30m` in place of `timeIntervalMs`.
    """

    id: Name
    name: Label
    #: How long the phase bakes before the next one may start, counted from its start.
    time_interval_ms: Annotated[int, Field(ge=0, le=INTERVAL_MAX_MS)] = 0
    required_review: bool = False
    rules: Annotated[tuple[PhaseRule, ...], Field(min_length=1, max_length=RULES_MAX)]

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        return _with_interval(_with_id(data)) if isinstance(data, dict) else data


class Pipeline(Authored):
    """An ordered plan of phases; its id is what features attach to."""

    kind: Literal["ReleasePipeline"] = "ReleasePipeline"
    id: Name
    name: Label
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=PHASES_MAX)]
    #: Shown to whoever is about to start a release.
    trigger_notice: Annotated[str, Field(max_length=1_000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        return _with_id(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _phases_are_distinct(self) -> Self:
        ids = [phase.id for phase in self.phases]
        twice = sorted({id_ for id_ in ids if ids.count(id_) > 1})
        if twice:
            raise ValueError(f"phase id {twice[0]!r} stands twice; give each phase an id of its own")
        return self


def _with_id(data: dict[str, Any]) -> dict[str, Any]:
    if data.get("id") is None and isinstance(data.get("name"), str):
        return {**data, "id": slug(data["name"])}
    return data


def _with_interval(data: dict[str, Any]) -> dict[str, Any]:
    if "timeInterval" not in data:
        return data
    if "timeIntervalMs" in data or "time_interval_ms" in data:
        raise ValueError("give timeInterval or timeIntervalMs, not both")
    rest = {key: value for key, value in data.items() if key != "timeInterval"}
    return {**rest, "timeIntervalMs": milliseconds(str(data["timeInterval"]))}
