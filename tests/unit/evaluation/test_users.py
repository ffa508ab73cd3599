"""Where a condition finds its value."""

from typing import Any

import pytest

from sluiceway.evaluation.users import environment_field, unit_id, user_field
from sluiceway.evaluation.values import user_text


@pytest.mark.parametrize(
    ("field", "user", "expected"),
    [
        ("email", {"email": "a"}, "a"),
        ("EMAIL", {"email": "a"}, "a"),
        ("email", {"email": "", "custom": {"email": "b"}}, "b"),
        ("x", {"custom": {"x": 1}, "privateAttributes": {"x": 2}}, 1),
        ("x", {"privateAttributes": {"x": 2}}, 2),
        ("X", {"custom": {"x": 1}}, 1),
        ("x", {"custom": {"X": 1}}, None),
        ("x", {"custom": {"x": None}, "privateAttributes": {"x": 2}}, None),
        ("user_id", {"userID": "u", "custom": {"user_id": "c"}}, "c"),
        ("user_id", {"userID": "u"}, "u"),
        ("user_id", {}, ""),
        ("userID", {}, None),
        ("app_version", {"appVersion": ""}, ""),
        (None, {"custom": {"x": 1}}, None),
    ],
)
def test_a_field_is_looked_for_in_order(field: str | None, user: dict[str, Any], expected: object) -> None:
    assert user_field(field)(user) == expected


@pytest.mark.parametrize(
    ("id_type", "user", "expected"),
    [
        ("userID", {"userID": "u"}, "u"),
        ("USERID", {"userID": "u"}, "u"),
        ("companyID", {"customIDs": {"companyID": "c", "companyid": "d"}}, "c"),
        ("companyID", {"customIDs": {"companyid": "d"}}, "d"),
        ("companyID", {"customIDs": {"companyID": 7.0}}, "7"),
        ("companyID", {"userID": "u"}, None),
    ],
)
def test_an_id_is_found_by_its_type(id_type: str, user: dict[str, Any], expected: str | None) -> None:
    assert user_text(unit_id(id_type)(user)) == expected


@pytest.mark.parametrize(
    ("field", "own", "expected"),
    [
        ("tier", {"tier": "staging"}, "staging"),
        ("tier", {}, "production"),
        ("Tier", {"tier": "staging"}, "production"),
        ("x", {}, None),
        (None, {}, None),
    ],
)
def test_the_environment_of_the_user_comes_first(
    field: str | None, own: dict[str, str], expected: str | None
) -> None:
    assert environment_field(field, "production")({"statsigEnvironment": own}) == expected


@pytest.mark.parametrize("malformed", [None, 5, "x", ["x"]])
def test_a_malformed_part_of_a_user_is_missing(malformed: object) -> None:
    parts = ("custom", "privateAttributes", "customIDs", "statsigEnvironment")
    user = dict.fromkeys(parts, malformed)

    assert user_field("x")(user) is None
    assert unit_id("x")(user) is None
    assert environment_field("x", None)(user) is None
