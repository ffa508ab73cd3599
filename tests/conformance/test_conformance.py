"""Our evaluator answers as the real SDK does, on a few thousand random questions."""

import random

import pytest

pytest.importorskip("statsig_python_core")

from tests.conformance.__main__ import run, show
from tests.conformance.compare import Coverage
from tests.conformance.shrink import shrink

EVALUATIONS = 5_000


def test_our_answers_are_those_of_the_official_sdk() -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    coverage = Coverage()

    found = [each for disagreements in run(seed, EVALUATIONS, coverage) for each in disagreements]

    for each in found[:2]:
        show(shrink(each, tries_max=200))
    assert not found, f"python -m tests.conformance --seed {seed} --evaluations {EVALUATIONS}"
    assert coverage.evaluations >= EVALUATIONS
