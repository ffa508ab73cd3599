"""A pattern costs little memory to read and little time to search for, whoever wrote it."""

import time
import tracemalloc
from typing import Any

import pytest

from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.evaluation import patterns
from sluiceway.evaluation.pattern_cost import CLASS_LENGTH_MAX, GROUPS_DEPTH_MAX, SIZE_MAX
from sluiceway.evaluation.patterns import (
    CHECK_ALLOWANCE,
    PATTERNS_MAX,
    PATTERNS_SIZE_MAX,
    TEXT_LENGTH_MAX,
    RequestAllowance,
    matches,
    pattern_error,
    pattern_set_error,
)
from sluiceway.evaluation.rule_set import RuleSet
from tests.support.builders import PROCESS

#: Takes the engine exponential time on `EVIL_TEXT`.
EVIL = "^(?:(?:a|aa)+c|.*b)$"
EVIL_TEXT = "a" * 60 + "b"
#: Ten times what a check may take at most on a machine that does nothing else.
CHECK_SECONDS_BOUND = 3.0


def rules_with(*targets: str) -> RuleSet:
    """Return rules in which the gate `f` tests each pattern in a rule of its own."""
    conditions = {
        f"c{n}": {"type": "user_field", "field": "email", "operator": "str_matches", "targetValue": target}
        for n, target in enumerate(targets)
    }
    rules: list[dict[str, Any]] = [
        {"name": id_, "id": id_, "passPercentage": 100, "returnValue": True, "conditions": [id_]}
        for id_ in conditions
    ]
    spec = {
        "type": "feature_gate", "entity": "feature_gate", "salt": "s", "enabled": True,
        "defaultValue": False, "rules": rules,
    }  # fmt: skip
    specs = {"feature_gates": {"f": spec}, "condition_map": conditions}
    document = {"kind": FeatureKind.GATE, "name": "f", "revision": 1, "eventTimeMs": 0, "specs": specs}
    found = RuleSet(PROCESS)
    found.apply(RuleDocument.model_validate(document))
    return found


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(?:(?:a{1000}){1000}){8}", "8008008 items"),
        ("(?:(?:ab){100}){100}", f"at most {SIZE_MAX} are allowed"),
        ("(?=a{1000}){1000}", "look-around"),
        ("(?x)(?:a{1000}) {1000}", "items"),
        ("(?x)(?:a{1000}# )\n){1000}", "items"),
        ("(?:a{1000})(?#note){1000}", "items"),
        ("(?:a{,1000}){,1000}", "items"),
        ("(?:" * 120 + "a" + "){9}" * 120, "120 levels"),
        ("(" * (GROUPS_DEPTH_MAX + 1) + "a" + ")" * (GROUPS_DEPTH_MAX + 1), "51 levels"),
        (f"[{'a' * CLASS_LENGTH_MAX}]", "130 characters"),
        ("a" * 1_000_000, "1000000 characters"),
    ],
)
def test_a_large_pattern_is_refused_by_arithmetic(pattern: str, says: str) -> None:
    tracemalloc.start()
    error = pattern_error(pattern)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert error is not None
    assert says in error
    assert peak < 1_000_000
    assert not matches(pattern)("a" * 1_000)


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-z]{1,1000}$",
        r"^(?:[0-9]{1,3}\.){3}[0-9]{1,3}$",
        r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]{1,63})*$",
        "(?i)(prod|staging)-(eu|us)-[0-9]{1,3}",
    ],
)
def test_a_usual_pattern_is_within_the_bounds(pattern: str) -> None:
    assert pattern_error(pattern) is None


def test_a_brace_that_is_no_repetition_is_a_character() -> None:
    assert matches("(?:abc){e<=2}")("abc{e<=2}")
    assert not matches("(?:abc){e<=2}")("axx")


def test_patterns_are_bounded_in_number_and_together() -> None:
    assert pattern_set_error(f"a{n}" for n in range(PATTERNS_MAX)) is None
    assert "more than 100 patterns" in str(pattern_set_error(f"a{n}" for n in range(PATTERNS_MAX + 1)))
    large = [f"{n}[a-z]{{1000}}" for n in range(10, 10 + PATTERNS_SIZE_MAX // 1_000)]
    assert "at most 10000 are allowed together" in str(pattern_set_error(large))


def test_a_hundred_explosive_patterns_do_not_multiply_the_time_of_a_check() -> None:
    rules = rules_with(*(f"{EVIL}|x{n}y" for n in range(PATTERNS_MAX)))

    start = time.monotonic()
    passed = rules.check_gate({"email": EVIL_TEXT}, "f")

    assert not passed
    assert time.monotonic() - start < CHECK_SECONDS_BOUND
    assert CHECK_ALLOWANCE.is_used_up


def test_an_explosive_check_takes_nothing_from_the_next_one() -> None:
    rules = rules_with(*[EVIL] * 10, "b@example.com$")
    rules.check_gate({"email": EVIL_TEXT}, "f")

    assert rules.check_gate({"email": "bob@example.com"}, "f")


def test_the_slow_searches_of_a_request_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SLOW_SEARCH_SECONDS_MAX", 0.001)
    rules = rules_with(EVIL)
    request = RequestAllowance(seconds=0.0025)

    for _ in range(20):
        with CHECK_ALLOWANCE.of(request):
            rules.check_gate({"email": EVIL_TEXT}, "f")

    assert request.seconds < 0.001
    assert rules.check_gate({"email": "aab"}, "f")


def test_the_patterns_of_a_foreign_publisher_are_not_compiled_beyond_the_bounds() -> None:
    tracemalloc.start()
    rules = rules_with(*(f"{n:05}(?:[a-z]x){{600}}" for n in range(1_000)), "plain")
    passed = rules.check_gate({"email": "plain"}, "f")
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert not passed
    assert kept < 20_000_000


def test_a_text_beyond_the_limit_matches_nothing() -> None:
    assert matches("a")("a" * TEXT_LENGTH_MAX)
    assert not matches("a")("a" * (TEXT_LENGTH_MAX + 1))
