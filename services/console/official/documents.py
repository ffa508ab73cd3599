"""Bodies of the official API → documents of features.

Each function raises `ValidationError` if the result is not a valid document, which is answered with 400.
"""

from collections.abc import Sequence
from typing import Any

import pyjson5
from fastapi import HTTPException
from pydantic import BaseModel

from sluiceway.contracts.feature import ConfigRule, FeatureDocument, GateRule
from sluiceway.contracts.identifiers import FeatureKind, slug
from sluiceway.contracts.json_depth import DEPTH_MAX
from sluiceway.pipelines.feature_documents import DOCUMENT_MODELS

from .bodies import AnyRuleBody, ConfigRuleBody, FeatureBody, NewConfig, NewGate

Rule = GateRule | ConfigRule
Rules = tuple[Rule, ...]

EVERYONE = GateRule.model_validate({"name": "everyone", "conditions": [{"type": "public"}]})
#: What replacing a whole feature keeps, unless the body names it.
KEPT_ON_REPLACE = {"release_pipeline_id", "id_type", "default_value"}
#: Fields that hold an object as JSON5 text, and the field that holds it as an object.
_JSON5_FIELDS = {"defaultValueJson5": "defaultValue", "returnValueJson5": "returnValue"}
_IGNORED = {
    "tags", "type", "team", "teamID", "targetApps", "creatorID", "creatorEmail", "measureMetricLifts",
    "monitoringMetrics", "reviewSettings", "isTemplate", "owner", "schema", "schemaJson5",
}  # fmt: skip
_IGNORED_IN_RULES = {"baseID", "pendingAutomatedRollouts", "completedAutomatedRollouts", "variants"}
#: Null detaches the pipeline; any other field that is null is taken as absent.
_NULLABLE = {"releasePipelineID"}


def new_name(body: NewGate | NewConfig) -> str:
    """Return the name of a new feature; 400 if its text has no character that a name may have."""
    name = body.id or slug(body.name)
    if not name:
        raise HTTPException(400, f"invalid name {body.name!r}: it needs a letter, digit, dash or underscore")
    return name


def new_document(kind: FeatureKind, name: str, body: FeatureBody) -> FeatureDocument:
    """Return a new feature."""
    return DOCUMENT_MODELS[kind].model_validate({**_changes(body), "name": name})


def replaced_document(live: FeatureDocument, body: FeatureBody) -> FeatureDocument:
    """Return a feature written as a whole."""
    kept = live.model_dump(mode="json", include={"name", *KEPT_ON_REPLACE})
    return type(live).model_validate({**kept, **_changes(body)})


def changed_document(live: FeatureDocument, body: FeatureBody) -> FeatureDocument:
    """Return a feature with the fields of a body changed."""
    return type(live).model_validate({**live.to_jsonable(), **_changes(body)})


def with_rules(live: FeatureDocument, rules: Sequence[Rule]) -> FeatureDocument:
    """Return a feature with other rules."""
    return type(live).model_validate({**live.to_jsonable(), "rules": [rule.to_jsonable() for rule in rules]})


def rule_of(body: AnyRuleBody) -> Rule:
    """Return the rule that a body describes."""
    model = ConfigRule if isinstance(body, ConfigRuleBody) else GateRule
    return model.model_validate(_rule_fields(_written(body)))


def rule_with_id(body: AnyRuleBody, replaced: Rule) -> Rule:
    """Return the rule that a body describes, with the id of the rule that it replaces.

    The id is the salt of the percentage: without it, other users would pass. A body may name another id.
    """
    rule = rule_of(body)
    if "id" in body.model_fields_set:
        return rule
    return rule.model_copy(update={"id": replaced.id or replaced.name})


def rule_index(rules: Sequence[Rule], id_: str) -> int:
    """Return the index of the rule with this id, or else with this name; 404 if there is none."""
    for field in ("id", "name"):
        for index, rule in enumerate(rules):
            if getattr(rule, field) == id_:
                return index
    known = ", ".join(rule.id or rule.name for rule in rules) or "none"
    raise HTTPException(404, f"rule {id_!r} does not exist (known: {known})")


def ignored_fields(body: FeatureBody) -> tuple[str, ...]:
    """Return the fields of a body that have no effect here."""
    written = body.model_dump(exclude_unset=True, exclude_none=True)
    return tuple(sorted(name for name in written if name in _IGNORED))


def _written(body: BaseModel) -> dict[str, Any]:
    """Return the fields that a request contained, as JSON."""
    return body.model_dump(mode="json", exclude_unset=True)


def _changes(body: FeatureBody) -> dict[str, Any]:
    """Return what a body changes, as JSON of our documents."""
    written = {name: value for name, value in _written(body).items() if name not in {"name", "id", *_IGNORED}}
    fields = _decode_json5(written)
    if "rules" in fields:
        fields["rules"] = [_rule_fields(rule) for rule in fields["rules"] or []]
    return {name: value for name, value in fields.items() if value is not None or name in _NULLABLE}


def _rule_fields(written: dict[str, Any]) -> dict[str, Any]:
    return _decode_json5({name: value for name, value in written.items() if name not in _IGNORED_IN_RULES})


def _decode_json5(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with objects for JSON5 texts; an object that is given as well wins."""
    decoded = dict(fields)
    for text_field, object_field in _JSON5_FIELDS.items():
        if (text := decoded.pop(text_field, None)) is not None and decoded.get(object_field) is None:
            decoded[object_field] = _json5_object(text_field, text)
    return decoded


def _json5_object(field: str, text: str) -> dict[str, Any]:
    try:
        value = pyjson5.decode(text, maxdepth=DEPTH_MAX)
    except pyjson5.Json5DecoderException as error:
        raise HTTPException(400, f"{field} is not valid JSON5: {error.args[0]}") from error
    if not isinstance(value, dict):
        raise HTTPException(400, f"{field} must hold a JSON object, not {type(value).__name__}")
    return value
