"""Asks both evaluators the same questions about one rule set, and counts what was covered."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, NamedTuple, Protocol

from tests.conformance import generate, users
from tests.conformance.load import load
from tests.conformance.official import Official
from tests.conformance.rule_sets import RuleSet

USERS_PER_RULE_SET = 10

#: Condition types whose operator is looked at.
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
#: The value and the id of the deciding rule; a text tells why there is none.
Answer = tuple[Any, str] | str


class Evaluator(Protocol):
    """Answers by one rule set."""

    def gate(self, user: User, name: str) -> tuple[bool, str]: ...

    def config(self, user: User, name: str) -> tuple[Any, str]: ...


class Question(NamedTuple):
    """What it takes to ask again, all of it JSON."""

    payload: dict[str, Any]
    options: dict[str, Any]
    user: User
    kind: Kind
    name: str


class Disagreement(NamedTuple):
    question: Question
    official: Answer
    ours: Answer


#: What the official SDK raises where it fails inside (`harmful.py`, on a number): no answer to agree with.
PANIC = "PanicException"


@dataclass
class Coverage:
    """How often each condition type and operator was asked for, matched, and was unsupported."""

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


def compare(rng: Random, coverage: Coverage, *, dialect: bool = True) -> list[Disagreement]:
    """Draw a rule set and users, ask both everything, and give the questions they disagree on."""
    rules = generate.rule_set(rng, dialect=dialect)
    drawn = [users.user(rng, rules.hints) for _ in range(USERS_PER_RULE_SET)]
    coverage.rule_sets += 1
    with Official(rules.specs_json, **rules.options) as official:
        ours = load(rules.specs_json, **rules.options)
        return [each for user in drawn for each in _ask_all(rules, user, official, ours, coverage)]


def disagreement(question: Question) -> Disagreement | None:
    """Ask both the same `question`, from scratch."""
    specs_json = json.dumps(question.payload, ensure_ascii=False).encode()
    with Official(specs_json, **question.options) as official:
        expected = _answer(official, question)
    given = _answer(load(specs_json, **question.options), question)
    return None if _same(expected, given) else Disagreement(question, expected, given)


def _ask_all(
    rules: RuleSet, user: User, official: Evaluator, ours: Evaluator, coverage: Coverage
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


def _answer(evaluator: Evaluator, question: Question) -> Answer:
    """Give the answer, or the exception in place of it: one fault must not end the run."""
    ask = evaluator.gate if question.kind == "gate" else evaluator.config
    try:
        return ask(question.user, question.name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:
        if type(error).__name__ != PANIC:
            raise
        return PANIC


def _same(one: Answer, other: Answer) -> bool:
    """Compare as JSON: 1, 1.0 and true are three values, and keys have no order."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
