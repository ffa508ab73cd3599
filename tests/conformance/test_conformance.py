"""Our evaluator answers a few thousand random questions as the real SDK does."""

import random

import pytest

from sluiceway.contracts.conditions import ConditionOperator
from sluiceway.contracts.rule_document import ListOperator

pytest.importorskip("statsig_python_core")

from tests.conformance.__main__ import run, show
from tests.conformance.comparison import AnswerCoverage
from tests.conformance.random_targets import KNOWN
from tests.conformance.shrink import shrink

EVALUATIONS = 5_000


def test_our_answers_are_those_of_the_official_sdk() -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    coverage = AnswerCoverage()

    found = [each for disagreements in run(seed, EVALUATIONS, coverage) for each in disagreements]

    for each in found[:2]:
        show(shrink(each, tries_max=200))
    assert not found, f"python -m tests.conformance --seed {seed} --evaluations {EVALUATIONS}"
    assert coverage.evaluations >= EVALUATIONS


def test_every_operator_is_asked_about() -> None:
    assert set(KNOWN) == {*ConditionOperator, *ListOperator}
