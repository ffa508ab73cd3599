"""Which connection is closed for another one, and when a new one is refused."""

import pytest

from sluiceway.http import connections
from sluiceway.http.connections import Connections, Stage, network_of
from sluiceway.http.file_descriptors import CONNECTIONS_MAX, grpc_connections_max, http_connections_max


class FakeConnection:
    """A connection that knows whether it was closed for another."""

    def __init__(self) -> None:
        self.is_evicted = False

    def evict(self) -> None:
        self.is_evicted = True


def admitted(bounded: Connections, address: str, stage: Stage = Stage.SILENT) -> FakeConnection:
    connection = FakeConnection()
    assert bounded.admit(connection, address) is None
    bounded.move(connection, stage)
    return connection


def bounded_by(total: int, per_address: int, trusted: str = "") -> Connections:
    return Connections(total, per_address, lambda address: address == trusted)


def test_the_oldest_connection_that_never_sent_a_request_is_closed_first() -> None:
    bounded = bounded_by(4, 2)
    waiting = admitted(bounded, "192.0.2.1", Stage.WAITING)
    silent = [admitted(bounded, f"192.0.2.{n}") for n in (2, 3)]
    busy = admitted(bounded, "192.0.2.4", Stage.BUSY)

    admitted(bounded, "192.0.2.5", Stage.BUSY)
    assert [one.is_evicted for one in (*silent, waiting, busy)] == [True, False, False, False]

    for n in (6, 7):
        admitted(bounded, f"192.0.2.{n}", Stage.BUSY)
    assert [one.is_evicted for one in (*silent, waiting, busy)] == [True, True, True, False]
    assert bounded.admit(FakeConnection(), "192.0.2.8") is not None


def test_one_address_takes_no_more_than_half_of_all_connections() -> None:
    bounded = bounded_by(10, 1_000)
    for _ in range(5):
        admitted(bounded, "192.0.2.1", Stage.BUSY)

    refusal = bounded.admit(FakeConnection(), "192.0.2.1")

    assert refusal is not None
    assert (refusal.limit, "at most 5" in refusal.reason) == ("address", True)
    admitted(bounded, "192.0.2.2")


def test_an_address_that_has_too_many_loses_its_own_connections_only() -> None:
    bounded = bounded_by(100, 2)
    other = admitted(bounded, "192.0.2.2")
    own = [admitted(bounded, "192.0.2.1") for _ in range(3)]

    assert [one.is_evicted for one in (other, *own)] == [False, True, False, False]


def test_connections_of_a_trusted_proxy_are_bounded_in_total_only() -> None:
    bounded = bounded_by(10, 2, trusted="10.0.0.1")
    for _ in range(10):
        admitted(bounded, "10.0.0.1", Stage.BUSY)

    refusal = bounded.admit(FakeConnection(), "10.0.0.1")

    assert refusal is not None
    assert refusal.limit == "total"


def test_an_address_is_forgotten_with_its_last_connection() -> None:
    bounded = bounded_by(100, 2)
    for n in range(1_000):
        bounded.discard(admitted(bounded, f"192.0.{n // 250}.{n % 250}"))

    assert len(bounded) == 0
    assert not bounded._by_network


def test_connections_that_are_refused_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "RESERVED_CONNECTIONS", 3)
    bounded = bounded_by(2, 1)
    for n in range(2):
        admitted(bounded, f"192.0.2.{n}", Stage.BUSY)
    refused = [FakeConnection() for _ in range(10)]

    for connection in refused:
        assert bounded.admit(connection, "192.0.2.9") is not None
        bounded.move(connection, Stage.BUSY)

    assert len(bounded) == 5
    assert [one.is_evicted for one in refused] == [True] * 7 + [False] * 3


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_ipv6_client_counts_as_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize("file_descriptors", [0, 256, 1_024, 20_000, 1_000_000])
def test_connections_leave_file_descriptors_for_the_broker(file_descriptors: int) -> None:
    http, grpc = http_connections_max(file_descriptors), grpc_connections_max(file_descriptors)

    assert http + grpc <= CONNECTIONS_MAX
    assert http + 3 * grpc <= max(64 + 3 * 16, file_descriptors - 512)
