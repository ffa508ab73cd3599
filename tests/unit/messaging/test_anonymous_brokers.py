"""What is taken for this host, and what for a broker that lets anybody connect."""

import pytest

from sluiceway.messaging.anonymous_brokers import anonymous_broker_problem, is_loopback
from sluiceway.settings import BrokerSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST"])
def test_this_host_is_known_by_name_and_address(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "nats", "localhost.example.com", "127.0.0.1.nip.io", "127.1"]
)
def test_any_other_name_may_be_another_host(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("greeting", "is_refused"),
    [
        ({}, True),
        ({"auth_required": False}, True),
        ({"auth_required": True}, False),
        ({"tls_verify": True}, False),
        ({"tls_required": True}, True),
    ],
)
def test_a_broker_elsewhere_is_known_by_its_greeting(greeting: dict[str, bool], is_refused: bool) -> None:
    problem = anonymous_broker_problem(BrokerSettings(), "nats:4222", "nats", greeting)

    assert bool(problem) is is_refused


def test_a_certificate_names_no_sender() -> None:
    settings = BrokerSettings(require_identity=True, allow_anonymous_broker=True)

    assert anonymous_broker_problem(settings, "nats:4222", "nats", {"tls_verify": True})
