"""What is written of gates and dynamic configs: the official fields → our documents."""

from typing import Annotated, Any

import pyjson5
from fastapi import HTTPException
from pydantic import Field, JsonValue, StrictBool

from sluiceway.contracts.feature import ConfigRule, GateRule
from sluiceway.contracts.identifiers import FeatureKind, Label, Name, slug
from sluiceway.contracts.models import AuthoredModel
from sluiceway.contracts.pipeline import RULES_MAX

#: `kind` of our documents.
KINDS = {FeatureKind.GATE: "FeatureGate", FeatureKind.DYNAMIC_CONFIG: "DynamicConfig"}
Description = Annotated[str, Field(max_length=1_000)]
Json5 = Annotated[str, Field(max_length=200_000)]


class _RuleExtras(AuthoredModel):
    #: Taken, and without effect here.
    base_id: str | None = None
    #: Scheduled rollouts do not combine with pipelines: only an empty list is taken.
    pending_automated_rollouts: Annotated[list[Any], Field(max_length=0)] = []
    completed_automated_rollouts: list[Any] = []


class GateRuleBody(GateRule, _RuleExtras):
    """A rule of a gate."""


class ConfigRuleBody(ConfigRule, _RuleExtras):
    """A rule of a dynamic config: its value as an object, or as JSON text."""

    return_value: dict[str, JsonValue] | None = None  # type: ignore[assignment]
    return_value_json5: Annotated[Json5 | None, Field(alias="returnValueJson5")] = None
    #: Only an empty list is taken: experiments are not released.
    variants: Annotated[list[Any], Field(max_length=0)] = []


GateRules = Annotated[tuple[GateRuleBody, ...], Field(max_length=RULES_MAX)]
ConfigRules = Annotated[tuple[ConfigRuleBody, ...], Field(max_length=RULES_MAX)]


class _Extras(AuthoredModel):
    """What other tools write; taken, and without effect here: the answer lists them as `ignored`."""

    tags: list[str] | None = None
    type: str | None = None
    team: str | None = None
    team_id: str | None = None
    target_apps: Any = None
    creator_id: str | None = None
    creator_email: str | None = None
    measure_metric_lifts: StrictBool | None = None
    monitoring_metrics: Any = None
    review_settings: Any = None
    is_template: StrictBool | None = None
    owner: Any = None


class GateChange(_Extras):
    """What is to be changed of a gate; what is absent stays."""

    is_enabled: StrictBool | None = None
    description: Description | None = None
    rules: GateRules | None = None
    id_type: Label | None = None
    #: Null detaches the pipeline.
    release_pipeline_id: Name | None = None


class GateUpdate(GateChange):
    """A gate as a whole."""

    is_enabled: StrictBool
    description: Description
    rules: GateRules


class NewGate(GateChange):
    """A new gate. Its name has letters, digits, dashes and underscores; `id`, where given, is its name."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    id: Name | None = None


class ConfigChange(_Extras):
    """What is to be changed of a dynamic config; what is absent stays."""

    is_enabled: StrictBool | None = None
    description: Description | None = None
    rules: ConfigRules | None = None
    id_type: Label | None = None
    default_value: dict[str, JsonValue] | None = None
    default_value_json5: Annotated[Json5 | None, Field(alias="defaultValueJson5")] = None
    #: Values are not checked against a schema here.
    schema_: Annotated[Any, Field(alias="schema")] = None
    schema_json5: Annotated[str | None, Field(alias="schemaJson5")] = None
    release_pipeline_id: Name | None = None


class ConfigUpdate(ConfigChange):
    """A dynamic config as a whole."""

    is_enabled: StrictBool
    description: Description
    rules: ConfigRules


class NewConfig(ConfigChange):
    """A new dynamic config."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    id: Name | None = None


class GateRulesBody(AuthoredModel):
    """All rules of a gate."""

    rules: GateRules


#: Fields that hold text in place of an object.
_TEXTS = {"defaultValueJson5": "defaultValue", "returnValueJson5": "returnValue"}
_IGNORED = {
    "tags", "type", "team", "teamID", "targetApps", "creatorID", "creatorEmail", "measureMetricLifts",
    "monitoringMetrics", "reviewSettings", "isTemplate", "owner", "schema", "schemaJson5",
}  # fmt: skip
_RULE_EXTRAS = {"baseID", "pendingAutomatedRollouts", "completedAutomatedRollouts", "variants"}


def name_of(body: NewGate | NewConfig) -> str:
    """Return the name that a new feature gets; 400 where its text has none."""
    name = body.id or slug(body.name)
    if not name:
        raise HTTPException(400, f"name {body.name!r} has no letter, digit, dash or underscore")
    return name


def changes_of(body: GateChange | ConfigChange) -> dict[str, Any]:
    """Return what a body says, as fields of our documents."""
    said = body.model_dump(mode="json", exclude_unset=True, exclude={"name", "id"})
    fields = _with_objects({name: value for name, value in said.items() if name not in _IGNORED})
    if "rules" in fields:
        fields["rules"] = [rule_of(rule) for rule in fields["rules"] or []]
    nullable = {"releasePipelineID"}
    return {name: value for name, value in fields.items() if value is not None or name in nullable}


def rule_of(said: dict[str, Any]) -> dict[str, Any]:
    """Return a rule as it stands in our documents."""
    return _with_objects({name: value for name, value in said.items() if name not in _RULE_EXTRAS})


def ignored_in(body: GateChange | ConfigChange) -> list[str]:
    """Return the fields of a body that have no effect here."""
    said = body.model_dump(exclude_unset=True, exclude_none=True)
    return sorted(name for name in said if name in _IGNORED)


def _with_objects(fields: dict[str, Any]) -> dict[str, Any]:
    found = dict(fields)
    for text, name in _TEXTS.items():
        if (value := found.pop(text, None)) is not None and found.get(name) is None:
            found[name] = _parsed(text, value)
    return found


def _parsed(field: str, text: str) -> dict[str, Any]:
    try:
        value = pyjson5.decode(text)
    except pyjson5.Json5DecoderException as error:
        raise HTTPException(400, f"{field} is no JSON5: {error.args[0]}") from error
    if not isinstance(value, dict):
        raise HTTPException(400, f"{field} must hold an object")
    return value
