"""A malformed user or spec gets an answer, and harms no other."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluiceway.evaluation.operators import OPERATORS
from sluiceway.evaluation.users import FIELD_NAMES, User
from tests.conformance.payload import InvalidPayload, Payload

from .payloads import loaded, payload, rule, spec

TARGETS: dict[str, Any] = {"str_matches": "^(a|b)+$", "before": 5, "gt": 1, "version_gt": "1.2"}
FIELDS = ("email", "userID", "plan", "user_id", "F")
CONDITIONS = {
    f"{operator}-{field}": {
        "type": "user_field", "field": field, "operator": operator, "idType": "teamID",
        "targetValue": TARGETS.get(operator, ["a", 1]),
    }
    for operator in OPERATORS for field in FIELDS
}  # fmt: skip
RULES = loaded(
    {id_: spec(rule(id_, passPercentage=50, idType="teamID"), rule(id_)) for id_ in CONDITIONS}, CONDITIONS
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(object()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PARTS = st.dictionaries(st.sampled_from((*FIELD_NAMES.values(), "other")), ANYTHING, max_size=6)


@given(user=PARTS | st.lists(ANYTHING, max_size=2) | ANYTHING)
def test_no_user_makes_a_check_raise(user: Any) -> None:
    for name in CONDITIONS:
        value, rule_id = RULES.gate(user, name)

        assert value in (True, False)
        assert isinstance(rule_id, str)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 1_000_000,
        "a\0b",
        "\ud800",
        [[[["deep"] * 50] * 5] * 5],
        {"k": float("nan")},
        10**400,
        -(10**400),
    ],
    ids=["a megabyte", "NUL", "surrogate", "nested", "NaN", "huge", "very negative"],
)
def test_odd_values_get_an_answer(value: Any) -> None:
    user = {"custom": {"plan": value, "F": value}, "customIDs": {"teamID": value}, "email": value}

    for name in CONDITIONS:
        assert RULES.gate(user, name)[0] in (True, False)


@given(user=PARTS)
def test_a_user_object_and_its_mapping_get_the_same_answer(user: dict[str, Any]) -> None:
    known = {attribute: user[name] for attribute, name in FIELD_NAMES.items() if name in user}
    as_object = User(**known)

    for name in CONDITIONS:
        assert RULES.gate(as_object, name) == RULES.gate(user, name)  # type: ignore[arg-type]


def test_a_malformed_spec_costs_only_itself() -> None:
    rules = loaded({"bad": {"salt": 5}, "worse": 7, "good": spec(rule("everyone"))})

    assert rules.gate({}, "good") == (True, "r")
    assert rules.gate({}, "bad") == rules.gate({}, "worse") == (False, "")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"\xef\xbb\xbf" + payload({}),
        payload({}, {"c": {"type": "public", "idType": "u", "additionalValues": {"salt": 5}}}),
        payload({}, overrides={"g": [{"rules": []}]}, override_rules={}),
        payload({}).replace(b'"time": 1', b'"time": -1'),
        payload({}).replace(b'"time": 1', b'"time": "1"'),
        b"[" * 100_000,
    ],
)
def test_a_malformed_payload_is_refused_as_a_whole(text: bytes) -> None:
    with pytest.raises(InvalidPayload):
        Payload(text)


@given(data=st.binary(max_size=300) | ANYTHING.map(lambda value: json.dumps(value, default=str).encode()))
def test_an_arbitrary_text_is_an_invalid_payload(data: bytes) -> None:
    with pytest.raises(InvalidPayload):
        Payload(data)
