"""What a new version changes, and in which environments."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from ..contracts.catalogue import Environment
from ..contracts.feature import ConfigRule, Feature, FeatureDocument, GateRule, Segment, Spec
from .environment_scopes import EnvironmentScope, open_conditions
from .projection import rule_id


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
    """Return the environments in which somebody may get a different answer than before.

    A version may be invalid. Its rules are read once, however many environments there are.
    """
    old, new = _Effects(before), _Effects(after)
    return tuple(name for name in environments if old.in_environment(name) != new.in_environment(name))


class _Effects:
    """What decides the answers of a version, by environment."""

    def __init__(self, spec: Spec | None) -> None:
        self._default = _canonical(spec.default_value or False if spec else False)
        self._id_type = spec.id_type if spec else "userID"
        self._members = spec.ids if spec and spec.is_enabled else ()
        rules = spec.rules if spec and spec.is_enabled else ()
        self._rules = [(EnvironmentScope.of(rule), _rule_text(rule)) for rule in rules]

    def in_environment(self, name: str) -> tuple[object, ...]:
        """Return everything that decides answers in an environment, to be compared."""
        rules = tuple(text for scope, text in self._rules if scope.may_include(name))
        return self._default, rules, self._id_type if rules or self._members else "userID", self._members


def _rule_text(rule: GateRule | ConfigRule) -> str:
    """Return what a rule does where it may match."""
    conditions: list[JsonValue] = [condition.to_jsonable() for condition in open_conditions(rule.conditions)]
    return _canonical([rule_id(rule), rule.pass_percentage, rule.return_value, conditions])


def _text(spec: Spec) -> str:
    return _canonical(spec.model_dump(mode="json", exclude={"version", "trigger"}))


def _canonical(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True)
