"""Specs → what answers for them. Everything that can be prepared is prepared here, once."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ..contracts.identifiers import FeatureKind
from ..contracts.rule_document import ConfigSpec, OverrideMapping, RuleDocument, SpecSet
from .compiled_rules import CompiledRule, RuleCompiler, RuleOutcomes, WalkState
from .condition_tests import Host, Library
from .nested_gates import EvaluationRun, Evaluator, FindEvaluator, LazyEvaluator, TooDeep
from .outcomes import UNRECOGNIZED, EvaluationOutcome, OutcomeFactory, SpecSource
from .results import Reason
from .users import AnyUser


class CompiledSpecs(NamedTuple):
    """What answers by each name."""

    gates: dict[str, Evaluator]
    configs: dict[str, Evaluator]

    def of(self, kind: FeatureKind) -> dict[str, Evaluator]:
        """Return what answers for the features of a kind."""
        return self.configs if kind is FeatureKind.DYNAMIC_CONFIG else self.gates


def compile_document(document: RuleDocument, host: Host, library: Library) -> CompiledSpecs:
    """Return what answers for the specs of a rule document."""
    newest = SpecSource(document.revision, document.trigger)
    # A region that is partly released holds the base under the feature's own name.
    own = SpecSource(document.revision) if document.specs.overrides else newest
    return compile_specs(
        document.specs, host, library, lambda name: own if name == document.spec_name else newest
    )


def compile_specs(
    specs: SpecSet,
    host: Host,
    library: Library,
    origin: Callable[[str], SpecSource],
) -> CompiledSpecs:
    """Return what answers for each gate and config of a set. None of it raises, but `TooDeep`."""
    compiler = _Compiler(specs, host, library, origin)
    return CompiledSpecs(
        compiler.all(FeatureKind.GATE, specs.feature_gates, library.gates),
        compiler.all(FeatureKind.DYNAMIC_CONFIG, specs.dynamic_configs, library.configs),
    )


def unrecognized(user: AnyUser, run: EvaluationRun | None) -> EvaluationOutcome:
    """Answer that there is no such feature."""
    return UNRECOGNIZED


class _Mapping(NamedTuple):
    target: str
    #: From when on (ms since 1970), and who.
    references: tuple[tuple[int, CompiledRule], ...]


class _Compiler:
    def __init__(
        self, specs: SpecSet, host: Host, library: Library, origin: Callable[[str], SpecSource]
    ) -> None:
        self._specs = specs
        self._host = host
        self._library = library
        self._origin = origin
        self._rules = RuleCompiler(specs.condition_map.get, host, library)

    def all(
        self, kind: FeatureKind, named: Mapping[str, ConfigSpec], others: Mapping[str, LazyEvaluator]
    ) -> dict[str, Evaluator]:
        """Return what answers for the specs of one kind, by their overrides first of all."""
        compiled = {
            name: self._spec(spec, OutcomeFactory(kind, self._origin(name))) for name, spec in named.items()
        }
        answering = dict(compiled)
        find = _finder(answering, others)
        for name, mappings in self._specs.overrides.items():
            own = compiled.get(name, unrecognized)
            salt = named[name].salt if name in named else ""
            answering[name] = self._overridden(self._mappings(mappings, salt), own, find)
        return answering

    def _spec(self, spec: ConfigSpec, judge: OutcomeFactory) -> Evaluator:
        otherwise = judge.fallback(spec)
        decisions = tuple(self._decisions(spec, judge))
        if all(decision.is_plain for decision in decisions):
            return _plain(decisions, otherwise)
        return self._walked(decisions, otherwise, judge)

    def _decisions(self, spec: ConfigSpec, judge: OutcomeFactory) -> Iterable[RuleOutcomes]:
        for rule in spec.rules:
            compiled = self._rules.rule(rule, spec.salt)
            passed = judge.passed(rule, Reason.SPLIT if compiled.within else Reason.RULE)
            failed = judge.failed(rule, spec) if compiled.within else passed
            yield RuleOutcomes(compiled, passed, failed, rule.config_delegate)

    def _walked(
        self, decisions: tuple[RuleOutcomes, ...], otherwise: EvaluationOutcome, judge: OutcomeFactory
    ) -> Evaluator:
        def evaluate(user: AnyUser, run: EvaluationRun | None) -> EvaluationOutcome:
            run = run or EvaluationRun()
            state = WalkState()
            for decision in decisions:
                if not self._rules.settle(decision.rule, user, run, state):
                    run.interim_id = state.rule_id
                    return judge.unsupported(state.value, state.rule_id or "")
                if state.value:
                    return self._decided(decision, user, run, state)
            return otherwise

        return evaluate

    def _decided(
        self, decision: RuleOutcomes, user: AnyUser, run: EvaluationRun, state: WalkState
    ) -> EvaluationOutcome:
        """Return the delegate's verdict, which goes before any percentage; else the rule's own."""
        delegate = self._library.configs.get(decision.delegate) if decision.delegate is not None else None
        if delegate:
            resets = run.resets
            verdict = run.hop(delegate.evaluate, user)
            # What is not supported shows the newest rule id; overrides that were tried wiped it out.
            keeps_id = run.interim_id is None and run.resets == resets
            if verdict.evaluation.reason is Reason.UNSUPPORTED and keeps_id:
                run.interim_id = state.rule_id
                return EvaluationOutcome(
                    verdict.passes, verdict.evaluation._replace(rule_id=state.rule_id or "")
                )
            if verdict.evaluation.reason is not Reason.UNRECOGNIZED:
                return verdict
        return decision.passed if decision.rule.lets_in(user) else decision.failed

    def _mappings(self, mappings: Iterable[OverrideMapping], salt: str) -> tuple[_Mapping, ...]:
        known = self._specs.override_rules
        return tuple(
            _Mapping(
                mapping.new_config_name,
                tuple(
                    (reference.start_time or 0, self._rules.rule(known[reference.rule_name], salt))
                    for reference in mapping.rules
                    if reference.rule_name in known
                ),
            )
            for mapping in mappings
        )

    def _overridden(self, mappings: tuple[_Mapping, ...], own: Evaluator, find: FindEvaluator) -> Evaluator:
        def evaluate(user: AnyUser, run: EvaluationRun | None) -> EvaluationOutcome:
            run = run or EvaluationRun()
            for target, references in mappings:
                if any(self._is_released(start, rule, user, run) for start, rule in references):
                    verdict = _answer_of(find(target), user, run)
                    if verdict is not None:
                        return verdict
            return own(user, run)

        return evaluate

    def _is_released(self, start_ms: int, rule: CompiledRule, user: AnyUser, run: EvaluationRun) -> bool:
        """Say whether an override rule leads a user to its target."""
        if start_ms and start_ms > self._host.clock():
            return False
        run.resets += 1
        if rule.tests is not None:
            return all(test(user) for test in rule.tests) and rule.lets_in(user)
        state = WalkState()
        try:
            supported = self._rules.settle(rule, user, run, state)
        except TooDeep:
            run.hide_failure()
            return False
        return supported and state.value and rule.lets_in(user)


def _plain(decisions: tuple[RuleOutcomes, ...], otherwise: EvaluationOutcome) -> Evaluator:
    """Return what goes through rules that are tests alone: the road of nearly every check."""
    rows = tuple((d.rule.tests or (), d.rule.within, d.passed, d.failed) for d in decisions)

    def evaluate(user: AnyUser, run: EvaluationRun | None) -> EvaluationOutcome:
        for tests, within, passed, failed in rows:
            for test in tests:
                if not test(user):
                    break
            else:
                return passed if within is None or within(user) else failed
        return otherwise

    if not rows:
        return lambda user, run: otherwise
    tests, within, passed, _ = rows[0]
    return evaluate if tests or within else (lambda user, run: passed)


def _finder(own: Mapping[str, Evaluator], others: Mapping[str, LazyEvaluator]) -> FindEvaluator:
    """Look among the specs of the same set first: they arrived together."""

    def find(name: str) -> Evaluator | None:
        if name in own:
            return own[name]
        entry = others.get(name)
        return entry.evaluate if entry else None

    return find


def _answer_of(target: Evaluator | None, user: AnyUser, run: EvaluationRun) -> EvaluationOutcome | None:
    """Return an override target's verdict; None where there is none."""
    if target is None:
        return None
    try:
        verdict = run.hop(target, user)
    except TooDeep:
        run.hide_failure()
        return None
    return None if verdict.evaluation.reason is Reason.UNRECOGNIZED else verdict
