"""Features as OpenFeature sees them."""

import pytest

from sluiceway.client.evaluation_context import user_from_context
from sluiceway.client.flags import ERROR_CODES, REASONS, evaluate_flag
from sluiceway.client.testing import FakeClient
from sluiceway.evaluation.results import Reason
from sluiceway.evaluation.users import User

ADA = User("ada")


def test_every_reason_has_an_openfeature_reason_or_code() -> None:
    assert REASONS.keys() | ERROR_CODES.keys() == set(Reason)
    assert not REASONS.keys() & ERROR_CODES.keys()


@pytest.mark.parametrize(
    ("key", "value"),
    [("both", True), ("gate.both", True), ("dynamic_config.both", {"n": 1}), ("only", {"n": 2})],
)
def test_a_gate_goes_before_a_config_unless_the_kind_is_named(key: str, value: object) -> None:
    rules = FakeClient(gates={"both": True}, configs={"both": {"n": 1}, "only": {"n": 2}})._rules

    assert evaluate_flag(rules, ADA, key).value == value


def test_a_context_becomes_a_user_with_the_rest_as_custom_fields() -> None:
    user = user_from_context(
        {
            "targetingKey": "ada",
            "email": "a@b.c",
            "appVersion": "1.2",
            "customIDs": {"teamID": "t"},
            "custom": {"plan": "pro"},
            "country": 5,
            "region": "eu",
        }
    )

    assert (user.user_id, user.email, user.app_version) == ("ada", "a@b.c", "1.2")
    assert user.custom_ids == {"teamID": "t"}
    assert user.custom == {"plan": "pro", "country": 5, "region": "eu"}
    assert user.country is None
