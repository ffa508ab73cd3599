"""A condition, as authors of features and of pipelines write it (Console API)."""

from enum import StrEnum

from pydantic import StrictBool, StrictFloat, StrictInt, StrictStr

from .models import AuthoredModel

Scalar = StrictStr | StrictBool | StrictInt | StrictFloat


class ConditionType(StrEnum):
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
    #: whoever passes (or fails) the gate that `targetValue` names; takes no operator
    PASSES_GATE = "passes_gate"
    FAILS_GATE = "fails_gate"
    #: whoever is (or is not) in the segment that `targetValue` names; takes no operator
    PASSES_SEGMENT = "passes_segment"
    FAILS_SEGMENT = "fails_segment"
    #: the time of the check
    TIME = "time"


class Condition(AuthoredModel):
    """One test; the conditions of a rule must all hold."""

    type: ConditionType
    operator: str | None = None
    field: str | None = None
    target_value: Scalar | tuple[Scalar, ...] | None = None
    custom_id: str | None = None
