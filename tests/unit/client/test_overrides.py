"""What an override leaves behind, and what it leaves alone."""

from contextlib import ExitStack

import pytest

from sluiceway.client import Client, Reason, User
from sluiceway.client.testing import RULE_ID, FakeClient, override

ADA = User("ada")


def test_an_override_ends_with_its_block_even_if_that_fails() -> None:
    client = FakeClient(gates={"checkout": True}, configs={"limits": {"max": 3}})

    with (
        pytest.raises(RuntimeError),
        override(client, gates={"checkout": False}, configs={"limits": {"max": 9}}),
    ):
        raise RuntimeError

    assert client.check_gate(ADA, "checkout") is True
    assert client.get_config(ADA, "limits").value == {"max": 3}
    assert client.evaluate(ADA, "checkout").value is True


def test_an_override_leaves_other_features_and_other_clients_alone() -> None:
    client, other = FakeClient(gates={"one": True}), FakeClient()

    with override(client, gates={"two": True}):
        seen = client.check_gate(ADA, "one"), client.check_gate(ADA, "two"), other.check_gate(ADA, "two")

    assert seen == (True, True, False)


def test_nested_overrides_of_different_features_hold_together() -> None:
    client = Client("dev")

    with override(client, gates={"one": True}), override(client, configs={"limits": {"max": 3}}):
        inner = client.check_gate(ADA, "one"), client.get_config(ADA, "limits").get_int("max")

    assert inner == (True, 3)
    assert (client.check_gate(ADA, "one"), client.get_config(ADA, "limits").value) == (False, {})


def test_many_overrides_leave_nothing_behind() -> None:
    client = Client("dev")

    with ExitStack() as stack:
        for number in range(12):
            stack.enter_context(override(client, gates={f"gate{number}": True}))
        assert all(client.check_gate(ADA, f"gate{number}") for number in range(12))

    assert client.check_gate == client.rules.check_gate == client.rules._documents.rules.check_gate
    assert client.get_config == client.rules.get_config == client.rules._documents.rules.get_config


@pytest.mark.parametrize(
    ("name", "value"),
    [("checkout", False), ("gate.checkout", False), ("limits", {}), ("dynamic_config.limits", {})],
)
def test_an_answer_says_that_a_test_gave_it(name: str, value: object) -> None:
    client = FakeClient(gates={"checkout": False}, configs={"limits": {}})

    answer = client.evaluate(ADA, name)

    assert (answer.value, answer.rule_id, answer.reason) == (value, RULE_ID, Reason.OVERRIDE)
    assert (answer.revision, answer.trigger) == (0, None)


def test_a_config_says_that_a_test_gave_it() -> None:
    config = FakeClient(configs={"limits": {"max": 3}}).get_config(ADA, "limits")

    assert (config.reason, config.rule_id) == (Reason.OVERRIDE, RULE_ID)


def test_a_returned_config_may_be_changed() -> None:
    client = FakeClient(configs={"limits": {"names": ["a"]}})

    client.get_config(ADA, "limits").value["names"] = []
    client.get_config(ADA, "limits").get_list("names").append("b")

    assert client.get_config(ADA, "limits").value == {"names": ["a"]}


def test_an_override_holds_for_every_kind_of_user() -> None:
    client = FakeClient(gates={"checkout": True})

    assert client.check_gate({"userID": "ada"}, "checkout")
    assert client.check_gate({}, "checkout")
    assert client.check_gate(User(), "checkout")
