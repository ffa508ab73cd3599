"""Rule document → callables. Everything that can be prepared is prepared here, once."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from pydantic import JsonValue

from ..contracts.identifiers import FeatureKind
from ..contracts.rules import ConfigSpec, OverrideMapping, RuleDocument, SpecCondition, SpecRule, SpecSet
from .bucketing import passes
from .conditions import UnsupportedOperator, compile_test
from .users import Lookup, User, environment_field, unit_id, user_field
from .values import user_text


class Reason(StrEnum):
    """Why an answer is what it is."""

    #: a rule matched; its percentage decided
    RULE = "rule"
    #: no rule matched
    DEFAULT = "default"
    #: the feature is switched off
    DISABLED = "disabled"
    #: the rules hold something that this version cannot evaluate
    UNSUPPORTED = "unsupported"
    #: there is no such feature here
    UNRECOGNIZED = "unrecognized"


class Answer(NamedTuple):
    """A value, the id of the rule that gave it, and whether the candidate of a release gave it."""

    value: JsonValue
    rule_id: str
    reason: Reason
    is_override: bool = False


#: None where the rule (or spec) does not apply to the user.
Evaluate = Callable[[User], Answer | None]
Matches = Callable[[User], bool]


class Unsupported(Exception):
    """A condition that this version does not know."""


def compile_document(document: RuleDocument, *, environment: str | None = None) -> Callable[[User], Answer]:
    """Return what answers for any user; never raises, whatever the user is."""
    specs = document.specs
    is_gate = document.kind is FeatureKind.GATE
    named = specs.feature_gates if is_gate else specs.dynamic_configs
    unrecognized = Answer(False if is_gate else {}, "", Reason.UNRECOGNIZED)
    compiled = {name: _spec(spec, specs.condition_map, is_gate, environment) for name, spec in named.items()}
    own = compiled.get(document.name, lambda user: unrecognized)
    original = named.get(document.name)
    salt = original.salt if original else ""
    override = _overrides(specs.overrides.get(document.name, ()), specs, compiled, salt, environment)
    return _first(override, own) if override else own


def _first(override: Evaluate, own: Callable[[User], Answer]) -> Callable[[User], Answer]:
    return lambda user: override(user) or own(user)


def _overrides(
    mappings: tuple[OverrideMapping, ...],
    specs: SpecSet,
    compiled: Mapping[str, Callable[[User], Answer]],
    salt: str,
    environment: str | None,
) -> Evaluate | None:
    """Return what answers by another spec for whoever passes an override rule."""
    steps: list[tuple[Matches, Callable[[User], Answer]]] = []
    for mapping in mappings:
        target = compiled.get(mapping.new_config_name)
        rules = [specs.override_rules.get(reference.rule_name) for reference in mapping.rules]
        for rule in rules:
            if rule and target:
                try:
                    matches = _matches(rule, specs.condition_map, environment)
                except Unsupported:
                    continue
                steps.append((_within(rule, salt, matches), target))
    if not steps:
        return None

    def answer(user: User) -> Answer | None:
        for matches, target in steps:
            if matches(user):
                return target(user)._replace(is_override=True)
        return None

    return answer


def _spec(
    spec: ConfigSpec, conditions: Mapping[str, SpecCondition], is_gate: bool, environment: str | None
) -> Callable[[User], Answer]:
    fallback = _value(spec.default_value, is_gate, is_default=True)
    otherwise = (
        Answer(fallback, "default", Reason.DEFAULT)
        if spec.enabled
        else Answer(fallback, "disabled", Reason.DISABLED)
    )
    rules: list[Evaluate] = []
    for rule in spec.rules:
        try:
            rules.append(_rule(rule, spec, conditions, is_gate, environment))
        except Unsupported:
            rules.append(_always(Answer(False if is_gate else {}, "", Reason.UNSUPPORTED)))
            break

    def evaluate(user: User) -> Answer:
        for rule in rules:
            if answer := rule(user):
                return answer
        return otherwise

    return evaluate


def _always(answer: Answer) -> Evaluate:
    return lambda user: answer


def _rule(
    rule: SpecRule,
    spec: ConfigSpec,
    conditions: Mapping[str, SpecCondition],
    is_gate: bool,
    environment: str | None,
) -> Evaluate:
    matches = _matches(rule, conditions, environment)
    within = _percentage(rule, spec.salt)
    passed = Answer(_value(rule.return_value, is_gate), rule.id, Reason.RULE)
    failed = Answer(_value(spec.default_value, is_gate, is_default=True), rule.id, Reason.RULE)

    def evaluate(user: User) -> Answer | None:
        if not matches(user):
            return None
        return passed if within(user) else failed

    return evaluate


def _matches(rule: SpecRule, conditions: Mapping[str, SpecCondition], environment: str | None) -> Matches:
    tests = [_condition(conditions.get(id_), environment) for id_ in rule.conditions]
    if not tests:
        return lambda user: True
    if len(tests) == 1:
        return tests[0]
    return lambda user: all(test(user) for test in tests)


def _condition(condition: SpecCondition | None, environment: str | None) -> Matches:
    if condition is None:
        raise Unsupported
    if condition.type == "public":
        return lambda user: True
    find = _lookup(condition, environment)
    try:
        test = compile_test(condition.operator or "", condition.target_value)
    except UnsupportedOperator as error:
        raise Unsupported from error
    return lambda user: test(find(user))


def _lookup(condition: SpecCondition, environment: str | None) -> Lookup:
    match condition.type:
        case "user_field":
            return user_field(condition.field)
        case "environment_field":
            return environment_field(condition.field, environment)
        case "unit_id":
            return unit_id(condition.id_type)
    raise Unsupported


def _within(rule: SpecRule, salt: str, matches: Matches) -> Matches:
    within = _percentage(rule, salt)
    return lambda user: matches(user) and within(user)


def _percentage(rule: SpecRule, spec_salt: str) -> Matches:
    percentage = rule.pass_percentage
    if percentage in (0, 100):
        return lambda user: percentage == 100
    salt = f"{spec_salt}.{rule.id if rule.salt is None else rule.salt}"
    unit = unit_id(rule.id_type)
    return lambda user: passes(percentage, salt, user_text(unit(user)) or "")


def _value(value: JsonValue, is_gate: bool, *, is_default: bool = False) -> JsonValue:
    """Return a value as a gate or config gives it."""
    if is_gate:
        return value is True if is_default else value is not False
    return value if isinstance(value, dict) else {}
