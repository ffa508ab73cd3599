"""Features as OpenFeature sees them: flags in one namespace, reasons and error codes.

https://openfeature.dev/specification/types
"""

from collections.abc import Mapping
from typing import Protocol

from ..contracts.identifiers import FeatureKind
from ..evaluation.results import Evaluation, Reason
from ..evaluation.users import AnyUser

#: Why a value was chosen → OpenFeature's reason.
REASONS: Mapping[Reason, str] = {
    Reason.RULE: "TARGETING_MATCH",
    Reason.SPLIT: "SPLIT",
    Reason.DEFAULT: "DEFAULT",
    Reason.STATIC: "STATIC",
    Reason.DISABLED: "DISABLED",
    Reason.OVERRIDE: "STATIC",
}
#: Why no value was chosen → OpenFeature's error code.
ERROR_CODES: Mapping[Reason, str] = {
    Reason.UNRECOGNIZED: "FLAG_NOT_FOUND",
    Reason.NOT_READY: "PROVIDER_NOT_READY",
    Reason.UNSUPPORTED: "PARSE_ERROR",
    Reason.ERROR: "GENERAL",
}


class Features(Protocol):
    """What evaluates gates and configs."""

    def gate(self, user: AnyUser, name: str, /) -> Evaluation:
        """Return a user's value of a gate."""

    def config(self, user: AnyUser, name: str, /) -> Evaluation:
        """Return a user's value of a dynamic config."""


def evaluate_flag(features: Features, user: AnyUser, key: str) -> Evaluation:
    """Return a user's value of the gate with this name or, if there is none, of the dynamic config.

    If both exist, `gate.<name>` and `dynamic_config.<name>` tell them apart.
    """
    kind, dot, name = key.partition(".")
    if dot and kind == FeatureKind.GATE:
        return features.gate(user, name)
    if dot and kind == FeatureKind.DYNAMIC_CONFIG:
        return features.config(user, name)
    answer = features.gate(user, key)
    return answer if answer.reason is not Reason.UNRECOGNIZED else features.config(user, key)


def variant_of(answer: Evaluation) -> str:
    """Return the name of the variant: the id of the rule that decided."""
    return answer.rule_id or "default"


def metadata_of(answer: Evaluation) -> dict[str, str | int | float | bool]:
    """Return the rule, revision and release that a value came from."""
    known: dict[str, str | int | float | bool] = {"ruleID": answer.rule_id, "revision": answer.revision}
    if answer.trigger:
        known["triggerID"] = answer.trigger
    return known
