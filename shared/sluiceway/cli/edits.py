"""The changes that `gate set` and `config set` make to the document of a feature."""

import itertools
import json
from typing import Any, NamedTuple, TypeVar

from pydantic import JsonValue, ValidationError

from ..contracts.conditions import Condition, ConditionType
from ..contracts.feature import ConfigRule, DynamicConfig, FeatureGate, GateRule
from ..contracts.validation_errors import describe_errors
from .session import CommandFailed

RULE_NAME = "set"
EVERYONE = (Condition(type=ConditionType.PUBLIC),)
#: Operators with such a word compare with a list: `any`, `str_contains_none`, `array_contains_all`, …
LIST_WORDS = frozenset({"any", "none", "all"})
#: Condition types that --where does not support; a file does.
FILE_ONLY = {ConditionType.CUSTOM_FIELD, ConditionType.UNIT_ID, ConditionType.PUBLIC}

Document = TypeVar("Document", FeatureGate, DynamicConfig)
Rule = TypeVar("Rule", GateRule, ConfigRule)


class RuleScope(NamedTuple):
    """The users that a rule is for, from the options; None: the option was not given."""

    environments: tuple[str, ...] | None = None
    conditions: tuple[Condition, ...] | None = None

    @property
    def is_given(self) -> bool:
        return self.environments is not None or self.conditions is not None

    def apply_to(self, rule: Rule) -> Rule:
        """Return the rule with the given parts of the scope."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        return rule.model_copy(update=given)


def changed(document: Document, **fields: Any) -> Document:
    """Return a copy with other values in some fields; `ValidationError` if one is invalid."""
    return type(document).model_validate(document.model_copy(update=fields).to_jsonable())


def with_settings(
    document: Document, pipeline: str | None, no_pipeline: bool, description: str | None
) -> Document:
    """Return the document with the pipeline attached or detached, and the description, if given."""
    if pipeline and no_pipeline:
        raise CommandFailed("--pipeline and --no-pipeline contradict each other; give one of them")
    fields: dict[str, str | None] = {}
    if pipeline or no_pipeline:
        fields["release_pipeline_id"] = pipeline
    if description is not None:
        fields["description"] = description
    return changed(document, **fields)


def rule_scope(environments: list[str] | None, where: list[str] | None) -> RuleScope:
    """Return the scope that --environment and --where give."""
    conditions = tuple(_condition(text) for text in where) if where else None
    return RuleScope(tuple(environments) if environments else None, conditions)


def rule_to_change(rules: tuple[GateRule, ...], *, for_everyone: bool) -> GateRule:
    """Return the only rule of a gate; with `for_everyone`, a rule for everyone in its place.

    The name and the id always stay. They are the salt of the percentage, so users who pass keep passing
    when the percentage grows.
    """
    if len(rules) > 1 and not for_everyone:
        raise CommandFailed(
            f"the gate has {len(rules)} rules; replace them all by one with --on, or apply a file"
        )
    if len(rules) != 1:
        return GateRule(name=RULE_NAME, conditions=EVERYONE)
    only = rules[0]
    return GateRule(name=only.name, id=only.id, conditions=EVERYONE) if for_everyone else only


def with_rule(
    rules: tuple[ConfigRule, ...], scope: RuleScope, value: dict[str, JsonValue]
) -> tuple[ConfigRule, ...]:
    """Return the rules of a config with one for the scope in front, which replaces one for the same scope."""
    names = {rule.name for rule in rules} | {rule.id for rule in rules}
    candidates = (RULE_NAME if n == 1 else f"{RULE_NAME}-{n}" for n in itertools.count(1))
    name = next(name for name in candidates if name not in names)
    new = scope.apply_to(ConfigRule(name=name, conditions=EVERYONE, return_value=value))
    others = []
    for rule in rules:
        if (rule.environments, rule.conditions) == (new.environments, new.conditions):
            new = rule.model_copy(update={"return_value": value})
        else:
            others.append(rule)
    return new, *others


def _condition(text: str) -> Condition:
    parts = text.split(maxsplit=2)
    if len(parts) != 3:
        raise CommandFailed(
            f"invalid --where {text!r}: use FIELD OPERATOR VALUE, for example 'country any US,DE'"
        )
    field, operator, values = parts
    is_list = not LIST_WORDS.isdisjoint(operator.split("_"))
    target: Any = values.split(",") if is_list else _json_or_text(values)
    is_type = field in set(ConditionType) - FILE_ONLY
    subject = {"type": field} if is_type else {"type": ConditionType.CUSTOM_FIELD, "field": field}
    try:
        return Condition.model_validate({**subject, "operator": operator, "targetValue": target})
    except ValidationError as error:
        raise CommandFailed(f"invalid --where {text!r}: {describe_errors(error)}") from error


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def json_object(text: str) -> dict[str, JsonValue]:
    """Return the JSON object in the text of --value; `CommandFailed` if it is not one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"--value is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise CommandFailed("--value must be a JSON object, for example '{\"maxItems\": 200}'")
    return value
