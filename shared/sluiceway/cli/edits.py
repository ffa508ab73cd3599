"""What a quick change makes of a feature as it is live: its document, with what the call names in place."""

import itertools
import json
from typing import Any

from ..contracts.conditions import ConditionType
from ..contracts.feature import ConfigRule, Feature
from ..pipelines.feature_documents import authored_document
from .session import CommandFailed

RULE_NAME = "set"
EVERYONE: list[dict[str, Any]] = [{"type": "public"}]
#: How the operators begin that compare with a list.
LISTS = ("any", "none")
#: Conditions that --where cannot say; a file can.
NOT_SAID = {ConditionType.CUSTOM_FIELD, ConditionType.UNIT_ID, ConditionType.PUBLIC}


def document_of(
    feature: Feature | None,
    kind: str,
    name: str,
    pipeline: str | None,
    no_pipeline: bool,
    description: str | None,
) -> dict[str, Any]:
    """Return the feature as it is live now, as its author would write it, with what was named changed."""
    if pipeline and no_pipeline:
        raise CommandFailed("--pipeline attaches and --no-pipeline detaches; give one of them")
    document: dict[str, Any] = {"kind": kind, "name": name, "rules": []}
    if feature:
        document = authored_document(feature).to_jsonable()
    if pipeline or no_pipeline:
        document["releasePipelineID"] = None if no_pipeline else pipeline
    if description is not None:
        document["description"] = description
    return document


def segment(environments: list[str] | None, where: list[str] | None) -> dict[str, Any]:
    """Return the fields of a rule that the call names."""
    named: dict[str, Any] = {"environments": environments} if environments else {}
    return {**named, "conditions": [_condition(text) for text in where]} if where else named


def kept(rules: list[dict[str, Any]], *, anew: bool) -> dict[str, Any]:
    """Return what stays of a gate's only rule: all of it, or (`anew`) no more than its name and id.

    Those stay since they salt the percentage: whoever is in shall stay in while it grows.
    """
    if len(rules) > 1 and not anew:
        raise CommandFailed(
            f"the gate has {len(rules)} rules; say --on to put one in their place, or apply a file"
        )
    if len(rules) != 1:
        return {"name": RULE_NAME, "conditions": EVERYONE}
    only = rules[0]
    return {"name": only["name"], "id": only["id"], "conditions": EVERYONE} if anew else only


def with_rule(
    rules: list[dict[str, Any]], covers: dict[str, Any], value: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return a config's rules with one that `covers` a segment in front, instead of an earlier one for it."""
    names = {rule["name"] for rule in rules} | {rule["id"] for rule in rules}
    free = next(
        name for n in itertools.count(1) if (name := RULE_NAME if n == 1 else f"{RULE_NAME}-{n}") not in names
    )
    new = ConfigRule.model_validate({"name": free, "conditions": EVERYONE, **covers, "returnValue": value})
    others = []
    for rule in map(ConfigRule.model_validate, rules):
        if (rule.environments, rule.conditions) == (new.environments, new.conditions):
            new = rule.model_copy(update={"return_value": value})
        else:
            others.append(rule)
    return [rule.to_jsonable() for rule in (new, *others)]


def _condition(text: str) -> dict[str, Any]:
    parts = text.split(maxsplit=2)
    if len(parts) != 3:
        raise CommandFailed(f"--where {text!r}: write FIELD OPERATOR VALUE, for example 'country any US,DE'")
    field, operator, values = parts
    target: Any = values.split(",") if operator.startswith(LISTS) else _number_or_text(values)
    condition: dict[str, Any] = {"operator": operator, "targetValue": target}
    if field in set(ConditionType) - NOT_SAID:
        return {"type": field, **condition}
    return {"type": "custom_field", "field": field, **condition}


def _number_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`; `CommandFailed` where it holds none."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise CommandFailed(f"--value is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise CommandFailed("--value must be a JSON object, for example '{\"maxItems\": 200}'")
    return value
