"""Specs → evaluators. Everything that can be prepared is prepared here, once."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ..contracts.identifiers import FeatureKind
from ..contracts.rule_document import ConfigSpec, OverrideMapping, RuleDocument, SpecSet
from .compiled_conditions import BOUNDED_OPERATORS, ProcessContext
from .compiled_rules import CompiledRule, RuleCompiler, RuleEvaluator, RuleOutcomes, RuleProgress
from .list_texts import LIST_TEXTS
from .nested_gates import EvaluationRun, Evaluator, FindEvaluator, TooDeep
from .outcomes import UNRECOGNIZED, EvaluationOutcome, OutcomeFactory, SpecSource
from .patterns import CHECK_ALLOWANCE, is_pattern, patterns_error
from .registry import FeatureRegistry, LazyEvaluator
from .results import Reason
from .users import AnyUser

#: More conditions than these convert a user's lists together.
CONDITIONS_MANY = 20


class CompiledSpecs(NamedTuple):
    """The evaluator of each feature, by name."""

    gates: dict[str, Evaluator]
    configs: dict[str, Evaluator]

    def of_kind(self, kind: FeatureKind) -> dict[str, Evaluator]:
        """Return the evaluators of the features of a kind."""
        return self.configs if kind is FeatureKind.DYNAMIC_CONFIG else self.gates


def compile_document(
    document: RuleDocument, process: ProcessContext, registry: FeatureRegistry
) -> CompiledSpecs:
    """Return the evaluators for the specs of a rule document.

    If its patterns are too many, or too large together, none is compiled: they match nothing.
    """
    specs = document.specs
    if patterns_error(specs):
        specs = _without_patterns(specs)
    newest = SpecSource(document.revision, document.trigger)
    # A region that is partly released holds the base under the feature's own name.
    own = SpecSource(document.revision) if document.specs.overrides else newest
    return compile_specs(specs, process, registry, lambda name: own if name == document.spec_name else newest)


def compile_specs(
    specs: SpecSet,
    process: ProcessContext,
    registry: FeatureRegistry,
    source_of: Callable[[str], SpecSource],
) -> CompiledSpecs:
    """Return an evaluator for each gate and config of a set. They raise nothing but `TooDeep`."""
    compiler = _Compiler(specs, process, registry, source_of)
    return CompiledSpecs(
        compiler.evaluators(FeatureKind.GATE, specs.feature_gates, registry.gates),
        compiler.evaluators(FeatureKind.DYNAMIC_CONFIG, specs.dynamic_configs, registry.configs),
    )


def unrecognized(user: AnyUser, run: EvaluationRun | None) -> EvaluationOutcome:
    """Evaluate a feature that does not exist."""
    return UNRECOGNIZED


class _CompiledOverride(NamedTuple):
    target: str
    #: When (ms since 1970) each rule starts to apply.
    rules: tuple[tuple[int, CompiledRule], ...]


class _Compiler:
    def __init__(
        self,
        specs: SpecSet,
        process: ProcessContext,
        registry: FeatureRegistry,
        source_of: Callable[[str], SpecSource],
    ) -> None:
        self._specs = specs
        self._process = process
        self._registry = registry
        self._source_of = source_of
        self._rules = RuleCompiler(specs.condition_map.get, process, registry)
        self._rule_evaluator = RuleEvaluator(registry)

    def evaluators(
        self, kind: FeatureKind, specs: Mapping[str, ConfigSpec], others: Mapping[str, LazyEvaluator]
    ) -> dict[str, Evaluator]:
        """Return the evaluators of the specs of one kind; overrides come before a feature's own rules."""
        own = {
            name: self._evaluator(spec, OutcomeFactory(kind, self._source_of(name)))
            for name, spec in specs.items()
        }
        evaluators = dict(own)
        find = _finder(evaluators, others)
        for name, mappings in self._specs.overrides.items():
            salt = specs[name].salt if name in specs else ""
            overrides = self._overrides(mappings, salt)
            evaluators[name] = self._overridden(overrides, own.get(name, unrecognized), find)
        return evaluators

    def _evaluator(self, spec: ConfigSpec, outcomes: OutcomeFactory) -> Evaluator:
        fallback = outcomes.fallback(spec)
        rules = tuple(self._rule_outcomes(spec, outcomes))
        if all(rule.is_independent for rule in rules):
            evaluate = _independent(rules, fallback)
            return _bounded(evaluate) if self._is_costly(spec) else evaluate
        evaluate = self._dependent(rules, fallback, outcomes)
        return _bounded(evaluate) if self._is_costly(spec) else evaluate

    def _is_costly(self, spec: ConfigSpec) -> bool:
        """Return whether a check has to be bounded: it searches in texts, or has many conditions."""
        conditions = [self._specs.condition_map.get(id_) for rule in spec.rules for id_ in rule.conditions]
        return len(conditions) > CONDITIONS_MANY or any(
            each and each.operator in BOUNDED_OPERATORS for each in conditions
        )

    def _rule_outcomes(self, spec: ConfigSpec, outcomes: OutcomeFactory) -> Iterable[RuleOutcomes]:
        for rule in spec.rules:
            compiled = self._rules.compile(rule, spec.salt)
            has_percentage = compiled.is_in_percentage is not None
            passed = outcomes.passed(rule, Reason.SPLIT if has_percentage else Reason.RULE)
            failed = outcomes.failed(rule, spec) if has_percentage else passed
            yield RuleOutcomes(compiled, passed, failed, rule.config_delegate)

    def _dependent(
        self, rules: tuple[RuleOutcomes, ...], fallback: EvaluationOutcome, outcomes: OutcomeFactory
    ) -> Evaluator:
        """Return what evaluates rules that refer to other features."""

        def evaluate(user: AnyUser, run: EvaluationRun | None) -> EvaluationOutcome:
            run = run or _begin()
            progress = RuleProgress()
            for rule in rules:
                if not self._rule_evaluator.evaluate(rule.rule, user, run, progress):
                    run.reported_rule = progress.rule_id
                    return outcomes.unsupported(progress.value, progress.rule_id or "")
                if progress.value:
                    return self._matched(rule, user, run, progress)
            return fallback

        return evaluate

    def _matched(
        self, rule: RuleOutcomes, user: AnyUser, run: EvaluationRun, progress: RuleProgress
    ) -> EvaluationOutcome:
        """Return the delegate's outcome, which takes precedence over a percentage; else the rule's own."""
        delegate = self._registry.configs.get(rule.delegate) if rule.delegate is not None else None
        if delegate:
            override_checks = run.override_checks
            outcome = run.redirect(delegate.evaluate, user)
            # An unsupported outcome shows the newest rule id; overrides that were evaluated have reset it.
            keeps_rule = run.reported_rule is None and run.override_checks == override_checks
            if outcome.evaluation.reason is Reason.UNSUPPORTED and keeps_rule:
                run.reported_rule = progress.rule_id
                return EvaluationOutcome(
                    outcome.passes, outcome.evaluation._replace(rule_id=progress.rule_id or "")
                )
            if outcome.evaluation.reason is not Reason.UNRECOGNIZED:
                return outcome
        return rule.passed if rule.rule.includes(user) else rule.failed

    def _overrides(self, mappings: Iterable[OverrideMapping], salt: str) -> tuple[_CompiledOverride, ...]:
        rules = self._specs.override_rules
        return tuple(
            _CompiledOverride(
                mapping.new_config_name,
                tuple(
                    (reference.start_time or 0, self._rules.compile(rules[reference.rule_name], salt))
                    for reference in mapping.rules
                    if reference.rule_name in rules
                ),
            )
            for mapping in mappings
        )

    def _overridden(
        self, overrides: tuple[_CompiledOverride, ...], own: Evaluator, find: FindEvaluator
    ) -> Evaluator:
        """Return what evaluates the target of the first override that matches, else the feature itself."""

        def evaluate(user: AnyUser, run: EvaluationRun | None) -> EvaluationOutcome:
            run = run or _begin()
            for target, rules in overrides:
                if any(self._overrides_user(start_ms, rule, user, run) for start_ms, rule in rules):
                    outcome = _target_outcome(find(target), user, run)
                    if outcome is not None:
                        return outcome
            return own(user, run)

        return evaluate

    def _overrides_user(self, start_ms: int, rule: CompiledRule, user: AnyUser, run: EvaluationRun) -> bool:
        """Return whether an override rule applies to a user."""
        if start_ms and start_ms > self._process.clock():
            return False
        run.override_checks += 1
        if rule.tests is not None:
            return all(test(user) for test in rule.tests) and rule.includes(user)
        progress = RuleProgress()
        try:
            is_supported = self._rule_evaluator.evaluate(rule, user, run, progress)
        except TooDeep:
            run.stop_caching()
            return False
        return is_supported and progress.value and rule.includes(user)


def _without_patterns(specs: SpecSet) -> SpecSet:
    conditions = {
        id_: each.model_copy(update={"target_value": None}) if is_pattern(each) else each
        for id_, each in specs.condition_map.items()
    }
    return specs.model_copy(update={"condition_map": conditions})


def _begin() -> EvaluationRun:
    """Begin a check that may evaluate several features."""
    CHECK_ALLOWANCE.begin()
    return EvaluationRun()


def _bounded(evaluate: Evaluator) -> Evaluator:
    """Return an evaluator whose check begins at the top, and converts each of the user's lists once."""

    def evaluate_bounded(user: AnyUser, run: EvaluationRun | None) -> EvaluationOutcome:
        if run is None:
            CHECK_ALLOWANCE.begin()
        with LIST_TEXTS.remembered():
            return evaluate(user, run)

    return evaluate_bounded


def _independent(rules: tuple[RuleOutcomes, ...], fallback: EvaluationOutcome) -> Evaluator:
    """Return what evaluates rules about the user alone. Nearly every check runs here."""
    rows = tuple((r.rule.tests or (), r.rule.is_in_percentage, r.passed, r.failed) for r in rules)

    def evaluate(user: AnyUser, run: EvaluationRun | None) -> EvaluationOutcome:
        for tests, is_in_percentage, passed, failed in rows:
            for test in tests:
                if not test(user):
                    break
            else:
                return passed if is_in_percentage is None or is_in_percentage(user) else failed
        return fallback

    if not rows:
        return lambda user, run: fallback
    tests, is_in_percentage, passed, _ = rows[0]
    return evaluate if tests or is_in_percentage else (lambda user, run: passed)


def _finder(own: Mapping[str, Evaluator], others: Mapping[str, LazyEvaluator]) -> FindEvaluator:
    """Return what looks among the specs of the same set first, since they arrived together."""

    def find(name: str) -> Evaluator | None:
        if name in own:
            return own[name]
        entry = others.get(name)
        return entry.evaluate if entry else None

    return find


def _target_outcome(target: Evaluator | None, user: AnyUser, run: EvaluationRun) -> EvaluationOutcome | None:
    """Return the outcome of an override's target; None if it has none."""
    if target is None:
        return None
    try:
        outcome = run.redirect(target, user)
    except TooDeep:
        run.stop_caching()
        return None
    return None if outcome.evaluation.reason is Reason.UNRECOGNIZED else outcome
