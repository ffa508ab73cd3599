"""Request bodies of gates and dynamic configs, with the official fields."""

from typing import Annotated, Any

from pydantic import Field, JsonValue, StrictBool

from sluiceway.contracts.bounded_lists import FIRST_ERROR, at_most
from sluiceway.contracts.feature import ConfigRule, GateRule
from sluiceway.contracts.identifiers import Label, Name
from sluiceway.contracts.models import AuthoredModel
from sluiceway.contracts.pipeline import RULES_MAX

Description = Annotated[str, Field(max_length=1_000)]
Json5 = Annotated[str, Field(max_length=200_000)]


class _RuleExtras(AuthoredModel):
    #: Accepted without effect.
    base_id: str | None = None
    #: Only an empty list: scheduled rollouts cannot be combined with pipelines.
    pending_automated_rollouts: Annotated[list[Any], Field(max_length=0)] = []
    completed_automated_rollouts: list[Any] = []


class GateRuleBody(GateRule, _RuleExtras):
    """A rule of a gate."""


class ConfigRuleBody(ConfigRule, _RuleExtras):
    """A rule of a dynamic config, with its value as an object or as JSON5 text."""

    return_value: dict[str, JsonValue] | None = None  # type: ignore[assignment]
    return_value_json5: Annotated[Json5 | None, Field(alias="returnValueJson5")] = None
    #: Only an empty list: experiments cannot be released.
    variants: Annotated[list[Any], Field(max_length=0)] = []


GateRules = Annotated[tuple[GateRuleBody, ...], Field(max_length=RULES_MAX), at_most(RULES_MAX)]
ConfigRules = Annotated[tuple[ConfigRuleBody, ...], Field(max_length=RULES_MAX), at_most(RULES_MAX)]


class _Extras(AuthoredModel):
    """Fields that other tools write. They have no effect here; the response lists them as `ignored`."""

    tags: Annotated[list[str], FIRST_ERROR] | None = None
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
    """Fields of a gate to change; the others stay."""

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
    """A new gate. Its name is `id`, or else `name` with a dash for every run of other characters."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    id: Name | None = None


class ConfigChange(_Extras):
    """Fields of a dynamic config to change; the others stay."""

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


FeatureBody = GateChange | ConfigChange
AnyRuleBody = GateRuleBody | ConfigRuleBody
