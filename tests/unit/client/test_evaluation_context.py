"""An OpenFeature context becomes a user."""

from types import MappingProxyType
from typing import Any

import pytest

from sluiceway.client.evaluation_context import FIELDS, PARTS, user_from_context


def test_an_empty_context_is_a_user_without_anything() -> None:
    user = user_from_context({})

    assert (user.user_id, user.email, user.custom) == ("", None, {})


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_targeting_key_is_an_empty_id(key: object) -> None:
    assert user_from_context({"targetingKey": key}).user_id == ""


def test_a_targeting_key_is_the_id_and_no_custom_field() -> None:
    user = user_from_context({"targetingKey": "ada"})

    assert (user.user_id, user.custom) == ("ada", {})


@pytest.mark.parametrize(("name", "attribute"), FIELDS.items())
def test_a_field_is_taken_as_text_and_is_custom_otherwise(name: str, attribute: str) -> None:
    text, number = user_from_context({name: "x"}), user_from_context({name: 5})

    assert (getattr(text, attribute), text.custom) == ("x", {})
    assert (getattr(number, attribute), number.custom) == (None, {name: 5})


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_not_a_mapping_is_a_custom_field(name: str) -> None:
    user = user_from_context({name: "x"})

    assert user.custom == {name: "x"}
    assert (user.custom_ids, user.private_attributes) == (None, None)


def test_any_mapping_is_a_part() -> None:
    user = user_from_context(
        {
            "customIDs": MappingProxyType({"teamID": "t"}),
            "privateAttributes": MappingProxyType({"secret": 1}),
            "custom": MappingProxyType({"plan": "pro"}),
        }
    )

    assert user.custom_ids == {"teamID": "t"}
    assert user.private_attributes == {"secret": 1}
    assert user.custom == {"plan": "pro"}


def test_a_context_stays_as_it_is() -> None:
    context: dict[str, Any] = {"custom": {"plan": "pro"}, "region": "eu"}

    user = user_from_context(context)

    assert user.custom == {"plan": "pro", "region": "eu"}
    assert context == {"custom": {"plan": "pro"}, "region": "eu"}
