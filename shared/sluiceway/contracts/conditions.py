"""A condition, as authors of features and of pipelines write it (Console API).

An operator needs a function in `evaluation.operators.OPERATORS`, a check of its targets in
`pipelines.condition_errors.TARGET_CHECKS`, and a line in `docs/conditions.md`;
`tests/unit/contracts/test_conditions.py` names what a new one lacks.
"""

from typing import Annotated

from pydantic import StrictBool, StrictFloat, StrictInt, StrictStr

from .bounded_lists import FIRST_ERROR
from .models import AuthoredModel, WireEnum

Scalar = StrictStr | StrictBool | StrictInt | StrictFloat


class ConditionType(WireEnum):
    """What a condition looks at."""

    #: everyone; takes no operator
    PUBLIC = "public"
    #: a user's `custom[field]`, or an attribute of the region
    CUSTOM_FIELD = "custom_field"
    USER_ID = "user_id"
    EMAIL = "email"
    COUNTRY = "country"
    LOCALE = "locale"
    IP_ADDRESS = "ip_address"
    APP_VERSION = "app_version"
    #: the id named by `customID`
    UNIT_ID = "unit_id"
    #: the environment of the region
    ENVIRONMENT_TIER = "environment_tier"
    #: users who pass (or fail) the gate that `targetValue` names; takes no operator
    PASSES_GATE = "passes_gate"
    FAILS_GATE = "fails_gate"
    #: users in (or not in) the segment that `targetValue` names; takes no operator
    PASSES_SEGMENT = "passes_segment"
    FAILS_SEGMENT = "fails_segment"
    #: the time of the check
    TIME = "time"


class ConditionOperator(WireEnum):
    """How a condition compares a value with its target.

    "Text" is compared without regard to case, unless it says "exact".
    """

    #: text is one of a list
    ANY = "any"
    #: text is not in a list
    NONE = "none"
    #: exact text is one of a list
    ANY_CASE_SENSITIVE = "any_case_sensitive"
    #: exact text is not in a list
    NONE_CASE_SENSITIVE = "none_case_sensitive"
    #: text starts with one of a list
    STR_STARTS_WITH_ANY = "str_starts_with_any"
    #: text ends with one of a list
    STR_ENDS_WITH_ANY = "str_ends_with_any"
    #: text contains one of a list
    STR_CONTAINS_ANY = "str_contains_any"
    #: text contains none of a list
    STR_CONTAINS_NONE = "str_contains_none"
    #: a regular expression is found in the exact text
    STR_MATCHES = "str_matches"
    #: equal to a text (exact), number, boolean or list
    EQ = "eq"
    #: not equal to it
    NEQ = "neq"
    #: greater than a number
    GT = "gt"
    #: greater than a number, or equal to it
    GTE = "gte"
    #: less than a number
    LT = "lt"
    #: less than a number, or equal to it
    LTE = "lte"
    #: a newer version than the target
    VERSION_GT = "version_gt"
    #: the target's version or a newer one
    VERSION_GTE = "version_gte"
    #: an older version than the target
    VERSION_LT = "version_lt"
    #: the target's version or an older one
    VERSION_LTE = "version_lte"
    #: the target's version; `1.2` is `1.2.0`
    VERSION_EQ = "version_eq"
    #: another version than the target's
    VERSION_NEQ = "version_neq"
    #: earlier than a point in time
    BEFORE = "before"
    #: later than a point in time
    AFTER = "after"
    #: on the same day; refused, since it crashes official SDKs for some numbers
    ON = "on"
    #: a list that has one of the target's elements (exact text)
    ARRAY_CONTAINS_ANY = "array_contains_any"
    #: a list that has none of the target's elements
    ARRAY_CONTAINS_NONE = "array_contains_none"
    #: a list that has all of the target's elements
    ARRAY_CONTAINS_ALL = "array_contains_all"
    #: a list that lacks one of the target's elements
    NOT_ARRAY_CONTAINS_ALL = "not_array_contains_all"

    @classmethod
    def parse(cls, text: str | None) -> "ConditionOperator | None":
        """Return the operator of this name; None if there is none."""
        return _OPERATORS.get(text or "")


#: Faster than `ConditionOperator(text)`, and without an exception for an unknown one.
_OPERATORS = {operator.value: operator for operator in ConditionOperator}


class Condition(AuthoredModel):
    """One test; the conditions of a rule must all hold."""

    type: ConditionType
    #: A `ConditionOperator`. Any text is read, since older events may hold others; validation refuses those.
    operator: str | None = None
    field: str | None = None
    target_value: Scalar | Annotated[tuple[Scalar, ...], FIRST_ERROR] | None = None
    custom_id: str | None = None
