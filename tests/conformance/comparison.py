"""Asks both evaluators the same questions about one rule set, and counts what was covered."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, NamedTuple, Protocol

from tests.conformance import random_rule_sets, random_users
from tests.conformance.generated_rule_set import GeneratedRuleSet
from tests.conformance.load import load
from tests.conformance.official_sdk import OfficialSdk

USERS_PER_RULE_SET = 10

#: Condition types that use their operator.
USING_OPERATORS = {
    "user_field",
    "unit_id",
    "environment_field",
    "user_bucket",
    "current_time",
    "target_app",
    "ip_based",
    "ua_based",
    "experiment_group",
}

Kind = Literal["gate", "config"]
User = dict[str, Any]
#: The value and the id of the rule that decided; a text is the error instead.
Answer = tuple[Any, str] | str


class PayloadEvaluator(Protocol):
    """Evaluates one rule set."""

    def gate(self, user: User, name: str) -> tuple[bool, str]: ...

    def config(self, user: User, name: str) -> tuple[Any, str]: ...


class Question(NamedTuple):
    """Everything needed to ask again, as JSON."""

    payload: dict[str, Any]
    options: dict[str, Any]
    user: User
    kind: Kind
    name: str


class Disagreement(NamedTuple):
    question: Question
    official: Answer
    ours: Answer


#: Raised by the official SDK if it crashes (`on-a-number` in `harmful_payloads.py`): nothing to compare.
PANIC = "PanicException"


@dataclass
class AnswerCoverage:
    """How often each condition type and operator was evaluated, was true, and was unsupported."""

    rule_sets: int = 0
    evaluations: int = 0
    types: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    operators: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, kind: str, operator: str, rule_id: str) -> None:
        outcome = {"hit": "true", "default": "false"}.get(rule_id, "unsupported")
        self.types[kind][outcome] += 1
        if kind in USING_OPERATORS:
            self.operators[operator][outcome] += 1

    def table(self) -> Iterator[str]:
        for heading, counters in (("condition type", self.types), ("operator", self.operators)):
            yield f"{heading:24} {'evaluations':>12} {'true':>8} {'unsupported':>12}"
            for name, counts in sorted(counters.items(), key=lambda item: -item[1].total()):
                total = counts.total()
                shares = f"{counts['true'] / total:8.1%} {counts['unsupported'] / total:12.1%}"
                yield f"{name or repr(name):24} {total:12,} {shares}"
            yield ""


def compare(rng: Random, coverage: AnswerCoverage, *, dialect: bool = True) -> list[Disagreement]:
    """Draw a rule set and users, ask both evaluators everything, and return their disagreements."""
    rules = random_rule_sets.rule_set(rng, dialect=dialect)
    drawn = [random_users.user(rng, rules.hints) for _ in range(USERS_PER_RULE_SET)]
    coverage.rule_sets += 1
    with OfficialSdk(rules.specs_json, **rules.options) as official:
        ours = load(rules.specs_json, **rules.options)
        return [each for user in drawn for each in _ask_all(rules, user, official, ours, coverage)]


def disagreement(question: Question) -> Disagreement | None:
    """Ask both evaluators a question, each started for it; return their disagreement, if any."""
    specs_json = json.dumps(question.payload, ensure_ascii=False).encode()
    with OfficialSdk(specs_json, **question.options) as official:
        expected = _answer(official, question)
    given = _answer(load(specs_json, **question.options), question)
    return None if _same(expected, given) else Disagreement(question, expected, given)


def _ask_all(
    rules: GeneratedRuleSet,
    user: User,
    official: PayloadEvaluator,
    ours: PayloadEvaluator,
    coverage: AnswerCoverage,
) -> Iterator[Disagreement]:
    questions = [Question(rules.payload, rules.options, user, "gate", name) for name in rules.gates]
    questions += [Question(rules.payload, rules.options, user, "config", name) for name in rules.configs]
    for question in questions:
        expected = _answer(official, question)
        given = _answer(ours, question)
        coverage.evaluations += 1
        if expected == PANIC:
            continue
        if question.kind == "gate" and question.name in rules.probes:
            coverage.add(*rules.probes[question.name], expected[1])
        if not _same(expected, given):
            yield Disagreement(question, expected, given)


def _answer(evaluator: PayloadEvaluator, question: Question) -> Answer:
    """Return the answer, or the exception as a text: one failure must not end the run."""
    ask = evaluator.gate if question.kind == "gate" else evaluator.config
    try:
        return ask(question.user, question.name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        return PANIC


def _same(left: Answer, right: Answer) -> bool:
    """Compare as JSON: 1, 1.0 and true are different values, and keys have no order."""
    return left == right and json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
