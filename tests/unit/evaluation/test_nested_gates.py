"""Nested gates: their depth, cycles, and what an unsupported outcome shows."""

from typing import Any

import pytest

from .payloads import loaded, on_gate, rule, spec


def chain(levels: int, references: int = 1) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return gates `g0` (everyone) to `g<levels>`, each on the one before, so many times."""
    gates = {"g0": spec(rule("everyone"))}
    conditions: dict[str, Any] = {}
    for level in range(1, levels + 1):
        names = [f"c{level}-{number}" for number in range(references)]
        conditions |= dict.fromkeys(names, on_gate(f"g{level - 1}"))
        gates[f"g{level}"] = spec(rule(*names))
    return gates, conditions


def test_64_levels_are_evaluated_and_the_65th_is_an_error() -> None:
    rules = loaded(*chain(65))

    assert rules.gate({}, "g64") == (True, "r")
    assert rules.gate({}, "g65") == (False, "")


def test_each_nested_gate_is_evaluated_once() -> None:
    assert loaded(*chain(60, references=2)).gate({}, "g60") == (True, "r")


def test_an_outcome_cached_on_a_higher_level_is_too_deep_on_a_lower_one() -> None:
    gates, conditions = chain(64)
    gates["both"] = spec(rule("low", "high"))
    conditions |= {"low": on_gate("g63"), "high": on_gate("g64")}

    assert loaded(gates, conditions).gate({}, "both") == (False, "")


@pytest.mark.parametrize("circle", [("a",), ("a", "b"), ("a", "b", "c")])
def test_a_cycle_of_gates_is_an_error_for_everyone(circle: tuple[str, ...]) -> None:
    following = dict(zip(circle, (*circle[1:], circle[0]), strict=True))
    gates = {name: spec(rule(f"on-{name}")) for name in circle}
    conditions = {f"on-{name}": on_gate(other) for name, other in following.items()}

    assert loaded(gates, conditions).gate({}, "a") == (False, "")


def test_a_cycle_of_overrides_and_one_of_delegates_end() -> None:
    released = {"name": "all", **{k: v for k, v in rule("everyone").items() if k != "name"}}
    overrides = {
        name: [{"new_config_name": other, "rules": [{"rule_name": "all"}]}]
        for name, other in (("a", "b"), ("b", "a"))
    }
    gates = {"a": spec(rule("everyone")), "b": spec(rule("everyone"))}
    configs = {"d": spec(rule("everyone", value={}, configDelegate="d"), default={})}

    rules = loaded(gates, overrides=overrides, override_rules={"all": released}, dynamic_configs=configs)

    assert rules.gate({}, "a")[0] in (True, False)
    assert rules.config({}, "d")[0] == {}


def test_everyone_fails_a_gate_that_does_not_exist() -> None:
    rules = loaded({"g": spec(rule("typo"))}, {"typo": on_gate("missing", passes=False)})

    assert rules.gate({}, "g") == (True, "r")


def test_an_unsupported_outcome_shows_how_far_the_evaluation_came() -> None:
    conditions = {"on": on_gate("on"), "odd": {"type": "moon_phase", "idType": "userID"}}
    gates = {
        "on": spec(rule("everyone", id_="inner")),
        "alone": spec(rule("odd", passPercentage=0)),
        "after": spec(rule("on", "odd", passPercentage=0)),
        "missing": spec(rule("everyone", "nowhere")),
        "parent": spec(rule("on-after")),
    }
    rules = loaded(gates, {**conditions, "on-after": on_gate("after")})

    assert rules.gate({}, "alone") == (False, "")
    assert rules.gate({}, "after") == (True, "inner")
    assert rules.gate({}, "missing") == (True, "")
    assert rules.gate({}, "parent") == (False, "")


def test_the_first_override_that_matches_decides_by_its_targets_rule() -> None:
    conditions = {
        "pro": {
            "type": "user_field",
            "field": "plan",
            "operator": "any",
            "targetValue": ["pro"],
            "idType": "u",
        }
    }
    gates = {"g": spec(rule("everyone", id_="old", value=False)), "g:v2": spec(rule("everyone", id_="new"))}
    mapping = {
        "new_config_name": "g:v2",
        "rules": [{"rule_name": "late", "start_time": 2**62}, {"rule_name": "pro"}],
    }
    released = {"late": rule("everyone", id_="late"), "pro": rule("pro", id_="pro")}

    rules = loaded(gates, conditions, overrides={"g": [mapping]}, override_rules=released)

    assert rules.gate({"custom": {"plan": "pro"}}, "g") == (True, "new")
    assert rules.gate({}, "g") == (False, "old")
