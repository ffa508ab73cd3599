"""Features as a test wants them."""

from sluiceway.client import Client, Reason, User
from sluiceway.client.testing import FakeClient, override

ADA = User("ada")


def test_one_line_overrides_a_gate_and_a_config_while_the_block_runs() -> None:
    client = Client("dev")

    with override(client, gates={"checkout": True}, configs={"limits": {"max": 3}}):
        during = client.check_gate(ADA, "checkout"), client.get_config(ADA, "limits").get_int("max")
        answer = client.evaluate(ADA, "checkout")

    assert during == (True, 3)
    assert (answer.value, answer.reason) == (True, Reason.OVERRIDE)
    assert client.check_gate(ADA, "checkout") is False
    assert client.get_config(ADA, "limits").value == {}
    assert client.evaluate(ADA, "checkout").reason is Reason.NOT_READY


def test_the_inner_block_goes_before_the_outer_one() -> None:
    client = FakeClient(gates={"one": True, "two": True})

    with override(client, gates={"one": False}):
        with override(client, gates={"one": True}):
            inner = client.check_gate(ADA, "one")
        outer = client.check_gate(ADA, "one")

    assert (inner, outer) == (True, False)
    assert client.check_gate(ADA, "one")
    assert client.check_gate(ADA, "two")


def test_a_fake_client_has_only_the_given_values() -> None:
    client = FakeClient(configs={"limits": {"max": 3}})

    assert client.get_config(ADA, "limits").value == {"max": 3}
    assert client.evaluate(ADA, "limits").value == {"max": 3}
    assert client.check_gate(ADA, "anything") is False
