"""A condition of an author → the condition that the SDKs read.

Only conditions about the user are translated; those in `segments.DECIDED_PER_REGION` are decided before.
"""

from collections.abc import Callable, Mapping

from pydantic import JsonValue

from ..contracts.conditions import Condition, ConditionType
from ..contracts.rule_document import SpecCondition
from .references import referenced_spec

Translation = Callable[[Condition], SpecCondition]


def sdk_condition(condition: Condition) -> SpecCondition:
    """Return a condition about the user as the SDKs read it."""
    return SDK_CONDITIONS[condition.type](condition)


def _user_field(field: str) -> Translation:
    return lambda condition: _compared("user_field", condition, field=field)


def _custom_field(condition: Condition) -> SpecCondition:
    return _compared("user_field", condition, field=condition.field)


def _unit_id(condition: Condition) -> SpecCondition:
    return _compared("unit_id", condition, id_type=condition.custom_id or "userID")


def _time(condition: Condition) -> SpecCondition:
    return _compared("current_time", condition)


def _passes(condition: Condition) -> SpecCondition:
    return SpecCondition(type="pass_gate", target_value=referenced_spec(condition))


def _fails(condition: Condition) -> SpecCondition:
    return SpecCondition(type="fail_gate", target_value=referenced_spec(condition))


def _compared(
    type_: str, condition: Condition, *, field: str | None = None, id_type: str = "userID"
) -> SpecCondition:
    target = condition.target_value
    values: JsonValue = list(target) if isinstance(target, tuple) else target
    return SpecCondition(
        type=type_, operator=condition.operator, field=field, target_value=values, id_type=id_type
    )


SDK_CONDITIONS: Mapping[ConditionType, Translation] = {
    ConditionType.CUSTOM_FIELD: _custom_field,
    ConditionType.USER_ID: _user_field("userID"),
    ConditionType.EMAIL: _user_field("email"),
    ConditionType.COUNTRY: _user_field("country"),
    ConditionType.LOCALE: _user_field("locale"),
    ConditionType.IP_ADDRESS: _user_field("ip"),
    ConditionType.APP_VERSION: _user_field("appVersion"),
    ConditionType.UNIT_ID: _unit_id,
    ConditionType.PASSES_GATE: _passes,
    ConditionType.FAILS_GATE: _fails,
    ConditionType.PASSES_SEGMENT: _passes,
    ConditionType.FAILS_SEGMENT: _fails,
    ConditionType.TIME: _time,
}
