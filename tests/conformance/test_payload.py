"""A malformed part of a payload costs us what it costs the real SDK: itself, its spec, or the payload."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.load import Loaded, load
from tests.conformance.payload import InvalidPayload
from tests.unit.evaluation.payloads import payload, rule, spec

pytest.importorskip("statsig_python_core")

from tests.conformance.official_sdk import OfficialSdk

ADA = {"userID": "ada", "country": "US"}
GATES = ("conditional", "plain", "overridden")
#: What the gates answer while nothing is malformed.
SOUND = [(True, "us-only"), (True, "all"), (True, "all")]

Part = dict[str, Any]
PARTS: dict[str, Callable[[Part], Part]] = {
    "condition": lambda whole: whole["condition_map"]["us"],
    "rule": lambda whole: whole["feature_gates"]["conditional"]["rules"][0],
    "spec": lambda whole: whole["feature_gates"]["conditional"],
    "override rule": lambda whole: whole["override_rules"]["all"],
    "override mapping": lambda whole: whole["overrides"]["overridden"][0],
    "override reference": lambda whole: whole["overrides"]["overridden"][0]["rules"][0],
}


def a_payload() -> Part:
    us = {
        "type": "user_field",
        "field": "country",
        "operator": "any",
        "targetValue": ["US"],
        "idType": "userID",
    }
    gates = {
        "conditional": spec(rule("us", id_="us-only")),
        "plain": spec(rule("everyone", id_="all")),
        "overridden": spec(rule("everyone", id_="own")),
    }
    mapping = {"new_config_name": "plain", "rules": [{"rule_name": "all"}]}
    text = payload(
        gates, {"us": us}, overrides={"overridden": [mapping]}, override_rules={"all": rule("everyone")}
    )
    whole: Part = json.loads(text)
    return whole


def answers(gates: Loaded | OfficialSdk) -> list[tuple[bool, str]]:
    return [gates.gate(ADA, name) for name in GATES]


def official_answers(whole: Part) -> list[tuple[bool, str]] | None:
    """Return the real SDK's answers; None if it refuses the payload."""
    try:
        with OfficialSdk(json.dumps(whole).encode()) as official:
            return answers(official)
    except RuntimeError:
        return None


def our_answers(whole: Part) -> list[tuple[bool, str]] | None:
    try:
        return answers(load(json.dumps(whole).encode()))
    except InvalidPayload:
        return None


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("rule", [(False, ""), *SOUND[1:]]),
        ("spec", [(False, ""), *SOUND[1:]]),
        ("condition", None),
        ("override rule", None),
    ],
)
def test_id_type_is_required(part: str, expected: list[tuple[bool, str]] | None) -> None:
    whole = a_payload()
    assert our_answers(whole) == SOUND

    del PARTS[part](whole)["idType"]

    assert our_answers(whole) == expected
    assert official_answers(whole) == expected


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [None, 5], ids=["null", "5"])
def test_a_field_of_another_type_costs_us_what_it_costs_the_real_sdk(part: str, value: object) -> None:
    for field in PARTS[part](a_payload()):
        whole = a_payload()

        PARTS[part](whole)[field] = value

        assert our_answers(whole) == official_answers(whole), field


@pytest.mark.parametrize("part", PARTS)
def test_a_field_left_out_costs_us_what_it_costs_the_real_sdk(part: str) -> None:
    for field in PARTS[part](a_payload()):
        whole = a_payload()

        del PARTS[part](whole)[field]

        assert our_answers(whole) == official_answers(whole), field
