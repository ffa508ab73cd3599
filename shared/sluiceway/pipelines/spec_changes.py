"""What a new version changes, and in which environments."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from ..contracts.catalogue import Environment
from ..contracts.feature import Feature, FeatureDocument, Segment, Spec
from .projection import rule_id
from .segments import Location, remaining_conditions


def spec_of(document: FeatureDocument, version: int, trigger: str | None) -> Spec:
    """Return what an author wrote as a version of the feature."""
    return Spec(
        version=version,
        trigger=trigger,
        is_enabled=document.is_enabled,
        description=document.description,
        id_type=document.id_type,
        default_value=document.default_value,
        rules=document.rules,
        ids=document.ids if isinstance(document, Segment) else (),
    )


def is_same_spec(one: Spec, other: Spec) -> bool:
    """Return whether two versions are identical."""
    return _text(one) == _text(other)


def is_switch_off(state: Feature | None, document: FeatureDocument) -> bool:
    """Return whether a document switches off what is live, with its rules as they are."""
    base = state.base if state and not state.archived else None
    if base is None or document.is_enabled:
        return False
    off = base.model_copy(update={"is_enabled": False, "description": document.description})
    return is_same_spec(off, spec_of(document, base.version, base.trigger))


def needs_release(before: Spec | None, after: Spec, environments: Mapping[str, Environment]) -> bool:
    """Return whether a change touches an environment that requires its pipeline.

    A first version without any effect counts as touching every environment, and so does any
    change while no environment is known.
    """
    touched = touched_environments(before, after, environments)
    if not touched and (before is None or not environments):
        return not environments or any(e.requires_release_pipeline for e in environments.values())
    return any(environments[name].requires_release_pipeline for name in touched)


def touched_environments(
    before: Spec | None, after: Spec, environments: Mapping[str, Environment]
) -> tuple[str, ...]:
    """Return the environments in which somebody may get a different answer than before."""
    return tuple(name for name in environments if _effect(before, name) != _effect(after, name))


def _effect(spec: Spec | None, environment: str) -> str:
    """Return everything that decides answers in an environment, as comparable text."""
    if spec is None:
        return _canonical([False, [], "userID", []])
    place = Location(environment, {})
    rules: list[JsonValue] = []
    for rule in spec.rules if spec.is_enabled else ():
        open_ = remaining_conditions(rule.environments, rule.conditions, place)
        if open_ is not None:
            rules.append(
                [
                    rule_id(rule),
                    rule.pass_percentage,
                    rule.return_value,
                    [condition.to_jsonable() for condition in open_],
                ]
            )
    members: list[JsonValue] = list(spec.ids) if spec.is_enabled else []
    has_units = rules or members
    return _canonical([spec.default_value or False, rules, spec.id_type if has_units else "userID", members])


def _text(spec: Spec) -> str:
    return _canonical(spec.model_dump(mode="json", exclude={"version", "trigger"}))


def _canonical(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True)
