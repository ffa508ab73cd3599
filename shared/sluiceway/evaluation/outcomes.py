"""Verdicts: answers as rules give them, made when rules are compiled and shared by all checks."""

from typing import NamedTuple

from pydantic import JsonValue

from ..contracts.identifiers import FeatureKind
from ..contracts.rule_document import ConfigSpec, SpecRule
from .results import Config, Evaluation, Reason
from .values import representable


class EvaluationOutcome:
    """An answer, for whoever asked: a gate, a config, another gate's condition."""

    __slots__ = ("config", "evaluation", "group", "passes")

    def __init__(self, passes: bool, evaluation: Evaluation, group: str | None = None) -> None:
        #: What a gate answers, also by rules that were written for a config.
        self.passes = passes
        self.evaluation = evaluation
        self.config = None if evaluation.value.__class__ is bool else Config(evaluation)
        self.group = group


UNRECOGNIZED = EvaluationOutcome(False, Evaluation({}, "", Reason.UNRECOGNIZED))


class SpecSource(NamedTuple):
    """Where specs came from."""

    revision: int = 0
    trigger: str | None = None


class OutcomeFactory(NamedTuple):
    """Makes the verdicts of one spec."""

    kind: FeatureKind
    origin: SpecSource

    def passed(self, rule: SpecRule, reason: Reason) -> EvaluationOutcome:
        """A rule's own value; of a gate true, unless it is exactly false."""
        value = rule.return_value
        return self._verdict(value is not False, value, rule.id, reason, rule.group_name)

    def failed(self, rule: SpecRule, spec: ConfigSpec) -> EvaluationOutcome:
        """The default, given by a rule whose percentage leaves the user out."""
        value = spec.default_value
        return self._verdict(value is True, value, rule.id, Reason.SPLIT, rule.group_name)

    def fallback(self, spec: ConfigSpec) -> EvaluationOutcome:
        """The default, since no rule matches; of a gate true only if exactly true."""
        rule_id, reason = "default", Reason.DEFAULT if spec.rules else Reason.STATIC
        if not spec.enabled:
            rule_id, reason = "disabled", Reason.DISABLED
        return self._verdict(spec.default_value is True, spec.default_value, rule_id, reason)

    def unsupported(self, passes: bool, rule_id: str) -> EvaluationOutcome:
        """What the SDKs answer: the last condition's result, and the rule of the last nested gate."""
        return self._verdict(passes, {}, rule_id, Reason.UNSUPPORTED)

    def _verdict(
        self, passes: bool, value: JsonValue, rule_id: str, reason: Reason, group: str | None = None
    ) -> EvaluationOutcome:
        shown: JsonValue
        if self.kind is FeatureKind.DYNAMIC_CONFIG:
            shown = representable(value) if isinstance(value, dict) else {}
        else:
            shown = passes
        return EvaluationOutcome(passes, Evaluation(shown, rule_id, reason, *self.origin), group)
