"""Payloads that harm the official SDK, each with its damage. An endpoint must never serve one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.conformance.official_sdk_process import CONTROL_GATE

#: A JSON object that is only passed on.
JsonObject = dict[str, object]

EVERYONE = "everyone"
#: Heights of the ladders of gates whose times are compared.
LOW_RUNG, HIGH_RUNG = 12, 16
#: One nested gate more than the SDK follows.
TOO_DEEP = 65
#: One of about 128 calls gets the other answer; the chance that none of these does is below 1 in 10**16.
CALLS_TO_SEE_CHANCE = 5000
#: The fastest of these calls counts.
CALLS_TO_TIME = 5
#: Matches any text that ends in b, but first tries all 2**n ways to split the n a's before it.
BACKTRACKING = r"^(?:(a+)+\1c|.*b)$"


class Damage(StrEnum):
    """What happens to the SDK."""

    #: A signal ends the process.
    DIES = "dies"
    #: The call is still running at the parent's timeout.
    NEVER_RETURNS = "never returns"
    #: The call raises a panic, which `except Exception` does not catch.
    PANICS = "panics"
    #: The answer is false, and its reason an error, although every rule includes everyone.
    ERROR_FOR_EVERYONE = "error for everyone"
    #: The answer is true, although its rule cannot be evaluated and includes 0 percent.
    TRUE_THOUGH_UNSUPPORTED = "true though unsupported"
    #: The answer is true and recognized, because a gate does not exist.
    TRUE_BY_TYPO = "true by typo"
    #: The same question gets both answers, at random.
    ANSWERS_VARY = "answers vary"
    #: The second gate, only slightly larger than the first, takes several times as long.
    TIME_EXPLODES = "time explodes"
    #: As `TIME_EXPLODES`, and the second answer is false, although the first, to the same question, is true.
    GIVES_UP = "gives up"


@dataclass(frozen=True)
class Harm:
    """A payload, the questions that do the harm, and the damage."""

    name: str
    damage: Damage
    payload: JsonObject
    #: The gates that are checked, in this order.
    gates: tuple[str, ...] = ("a",)
    #: Arguments of a `StatsigUser`.
    user: JsonObject = field(default_factory=lambda: {"user_id": "ada"})
    #: How often each gate is checked.
    calls: int = 1


def rule(name: str, conditions: Iterable[str], pass_percentage: int = 100) -> JsonObject:
    """Return a rule that includes `pass_percentage` of the users for whom every condition holds."""
    return {
        "name": name,
        "id": name,
        "salt": name,
        "passPercentage": pass_percentage,
        "returnValue": True,
        "conditions": list(conditions),
        "idType": "userID",
    }


def gate(*conditions: str, pass_percentage: int = 100) -> JsonObject:
    """Return a gate with one rule, which requires all of `conditions`."""
    return {
        "type": "feature_gate",
        "entity": "feature_gate",
        "salt": "salt",
        "enabled": True,
        "defaultValue": False,
        "rules": [rule("only", conditions, pass_percentage)],
        "idType": "userID",
    }


def condition(kind: str, target: object, operator: str | None = None, about: str = "trait") -> JsonObject:
    """Return a condition on the user's field `about`, or on the gate `target`."""
    return {"type": kind, "idType": "userID", "operator": operator, "field": about, "targetValue": target}


def passes(name: str) -> JsonObject:
    """Return the condition that the user passes the gate `name`."""
    return condition("pass_gate", name)


def rule_set(
    gates: JsonObject, conditions: JsonObject | None = None, overrides: dict[str, str] | None = None
) -> JsonObject:
    """Return a payload; for everyone, each key of `overrides` is evaluated by the gate that it maps to."""
    mappings = {
        name: [{"new_config_name": target, "rules": [{"rule_name": EVERYONE}]}]
        for name, target in (overrides or {}).items()
    }
    return {
        "has_updates": True,
        "time": 1,
        "checksum": "harmful",
        "feature_gates": {CONTROL_GATE: gate(EVERYONE), **gates},
        "dynamic_configs": {},
        "layer_configs": {},
        "condition_map": {EVERYONE: condition("public", None), **(conditions or {})},
        "experiment_to_layer": {},
        "override_rules": {EVERYONE: rule(EVERYONE, [EVERYONE])},
        "overrides": mappings,
    }


def one_condition(suspect: JsonObject) -> JsonObject:
    """Return a payload whose gate `a` requires only the condition `suspect`."""
    return rule_set({"a": gate("suspect")}, {"suspect": suspect})


def stale(suspect: JsonObject | None) -> JsonObject:
    """Return a payload whose gate `a`, at 0 percent, has two conditions: everyone, and `suspect`.

    None: the second condition is missing from the condition map.
    """
    conditions: JsonObject = {} if suspect is None else {"suspect": suspect}
    return rule_set({"a": gate(EVERYONE, "suspect", pass_percentage=0)}, conditions)


def ladder(height: int, references: int) -> JsonObject:
    """Return gates `0` to `height`; each refers to the one below it `references` times."""
    gates: JsonObject = {"0": gate(EVERYONE)}
    conditions: JsonObject = {}
    for level in range(1, height + 1):
        steps = [f"{level}.{reference}" for reference in range(references)]
        gates[str(level)] = gate(*steps)
        conditions |= {step: passes(str(level - 1)) for step in steps}
    return rule_set(gates, conditions)


def text_in_two_lengths() -> JsonObject:
    """Return gates that match one pattern against a user's `short` and `long` text."""
    conditions: JsonObject = {
        name: condition("user_field", BACKTRACKING, "str_matches", about=name) for name in ("short", "long")
    }
    return rule_set({name: gate(name) for name in conditions}, conditions)


REFERS_BACK = rule_set(
    {"a": gate(EVERYONE), "b": gate("first", "second")},
    {"first": passes("a"), "second": passes("a")},
    overrides={"a": "b"},
)

HARMFUL: tuple[Harm, ...] = (
    Harm("override-of-itself", Damage.DIES, rule_set({"a": gate(EVERYONE)}, overrides={"a": "a"})),
    Harm(
        "override-cycle",
        Damage.DIES,
        rule_set({"a": gate(EVERYONE), "b": gate(EVERYONE)}, overrides={"a": "b", "b": "a"}),
    ),
    Harm("override-ladder", Damage.NEVER_RETURNS, REFERS_BACK),
    Harm(
        "gate-ladder",
        Damage.TIME_EXPLODES,
        ladder(HIGH_RUNG, references=2),
        gates=(str(LOW_RUNG), str(HIGH_RUNG)),
        calls=CALLS_TO_TIME,
    ),
    Harm("tall-gate-ladder", Damage.NEVER_RETURNS, ladder(60, references=2), gates=("60",)),
    Harm(
        "colliding-elements",
        Damage.PANICS,
        one_condition(condition("user_field", ["A", "a"], "eq")),
        user={"user_id": "ada", "custom": {"trait": ["a"]}},
    ),
    Harm(
        "colliding-elements-neq",
        Damage.PANICS,
        one_condition(condition("user_field", ["A", "a"], "neq")),
        user={"user_id": "ada", "custom": {"trait": ["a"]}},
    ),
    Harm(
        "on-a-number",
        Damage.PANICS,
        one_condition(condition("user_field", 1_700_000_000_000, "on")),
        user={"user_id": "ada", "custom": {"trait": -(2**63)}},
    ),
    Harm(
        "gate-cycle",
        Damage.ERROR_FOR_EVERYONE,
        rule_set({"a": gate("b"), "b": gate("a")}, {"a": passes("a"), "b": passes("b")}),
    ),
    Harm("gate-of-itself", Damage.ERROR_FOR_EVERYONE, one_condition(passes("a"))),
    Harm(
        "gate-chain",
        Damage.ERROR_FOR_EVERYONE,
        ladder(TOO_DEEP, references=1),
        gates=(str(TOO_DEEP - 1), str(TOO_DEEP)),
    ),
    Harm("missing-condition", Damage.TRUE_THOUGH_UNSUPPORTED, stale(None)),
    Harm("unknown-type", Damage.TRUE_THOUGH_UNSUPPORTED, stale(condition("moon_phase", "full", "any"))),
    Harm(
        "unknown-operator", Damage.TRUE_THOUGH_UNSUPPORTED, stale(condition("user_field", "x", "sounds_like"))
    ),
    Harm("missing-operator", Damage.TRUE_THOUGH_UNSUPPORTED, stale(condition("user_field", "x"))),
    Harm("missing-gate", Damage.TRUE_BY_TYPO, one_condition(condition("fail_gate", "typo"))),
    Harm(
        "empty-array-element",
        Damage.ANSWERS_VARY,
        one_condition(condition("user_field", ["", "b"], "array_contains_any")),
        user={"user_id": "ada", "custom": {"trait": [None]}},
        calls=CALLS_TO_SEE_CHANCE,
    ),
    Harm(
        "unbounded-regex",
        Damage.GIVES_UP,
        text_in_two_lengths(),
        gates=("short", "long"),
        user={"user_id": "ada", "custom": {"short": "aab", "long": "a" * 40 + "b"}},
        calls=CALLS_TO_TIME,
    ),
)
