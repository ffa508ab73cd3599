"""Outcomes of rules: made once, when rules are compiled, and shared by all checks."""

from typing import NamedTuple

from pydantic import JsonValue

from ..contracts.identifiers import FeatureKind
from ..contracts.rule_document import ConfigSpec, SpecRule
from .results import Config, Evaluation, Reason
from .values import representable


class EvaluationOutcome:
    """What a feature evaluates to, for each kind of caller: a gate, a config, another gate's condition."""

    __slots__ = ("config", "evaluation", "group", "passes")

    def __init__(self, passes: bool, evaluation: Evaluation, group: str | None = None) -> None:
        #: The value as a gate, also of rules that were written for a config.
        self.passes = passes
        self.evaluation = evaluation
        self.config = None if evaluation.value.__class__ is bool else Config(evaluation)
        self.group = group


UNRECOGNIZED = EvaluationOutcome(False, Evaluation({}, "", Reason.UNRECOGNIZED))


class SpecSource(NamedTuple):
    """The event in FEATURES and the trigger that a spec came from."""

    revision: int = 0
    trigger: str | None = None


class OutcomeFactory(NamedTuple):
    """Makes the outcomes of one spec."""

    kind: FeatureKind
    source: SpecSource

    def passed(self, rule: SpecRule, reason: Reason) -> EvaluationOutcome:
        """Return the rule's value; a gate passes unless that is exactly false."""
        value = rule.return_value
        return self._outcome(value is not False, value, rule.id, reason, rule.group_name)

    def failed(self, rule: SpecRule, spec: ConfigSpec) -> EvaluationOutcome:
        """Return the default, for users that the rule's percentage excludes."""
        value = spec.default_value
        return self._outcome(value is True, value, rule.id, Reason.SPLIT, rule.group_name)

    def fallback(self, spec: ConfigSpec) -> EvaluationOutcome:
        """Return the default, for users whom no rule matches; a gate passes only if it is exactly true."""
        rule_id, reason = "default", Reason.DEFAULT if spec.rules else Reason.STATIC
        if not spec.enabled:
            rule_id, reason = "disabled", Reason.DISABLED
        return self._outcome(spec.default_value is True, spec.default_value, rule_id, reason)

    def unsupported(self, passes: bool, rule_id: str) -> EvaluationOutcome:
        """Return what the SDKs report: the last condition's result, and the rule of the last nested gate."""
        return self._outcome(passes, {}, rule_id, Reason.UNSUPPORTED)

    def _outcome(
        self, passes: bool, value: JsonValue, rule_id: str, reason: Reason, group: str | None = None
    ) -> EvaluationOutcome:
        reported: JsonValue
        if self.kind is FeatureKind.DYNAMIC_CONFIG:
            reported = representable(value) if isinstance(value, dict) else {}
        else:
            reported = passes
        return EvaluationOutcome(passes, Evaluation(reported, rule_id, reason, *self.source), group)
