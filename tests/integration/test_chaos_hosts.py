"""The cables between the hosts of a chaos run: what a fault drops, and nothing else. Needs root."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.chaos.hosts import Host, Network, missing_requirements, network, working_in

PORT = 9_999
DATA, MARK = b"data", b"mark"
BOUND_SECONDS = 15.0


class Hosts:
    """Two hosts, and a socket on each of them."""

    def __init__(self, cables: Network, sockets: dict[Host, socket.socket]) -> None:
        self.cables = cables
        self.one, self.other = sockets
        self._sockets = sockets

    def is_heard(self, sender: Host, receiver: Host) -> bool:
        """Return whether a message arrives before one that no fault drops, which is sent after it."""
        sending, receiving = self._sockets[sender], self._sockets[receiver]
        sending.sendto(DATA, (receiver.address, PORT))
        sending.sendto(MARK, (receiver.management_address, PORT))
        return DATA in set(iter(lambda: receiving.recv(len(DATA)), MARK))

    def heard(self) -> tuple[bool, bool]:
        """Return whether the other host hears the first one, and the first one the other."""
        return self.is_heard(self.one, self.other), self.is_heard(self.other, self.one)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if missing := missing_requirements():
        pytest.skip(f"no hosts can be made here: {', '.join(missing)}")
    with ExitStack() as stack:
        cables = stack.enter_context(network(2))
        sockets = {host: stack.enter_context(_socket_on(host)) for host in cables.hosts}
        both = Hosts(cables, sockets)
        assert both.heard() == (True, True)
        yield both


def test_a_mute_host_is_not_heard_and_a_deaf_one_hears_nothing(hosts: Hosts) -> None:
    hosts.cables.mute(hosts.one)
    assert hosts.heard() == (False, True)
    hosts.cables.heal(hosts.one)
    assert hosts.heard() == (True, True)

    hosts.cables.deafen(hosts.one)
    assert hosts.heard() == (True, False)
    hosts.cables.heal(hosts.one)
    assert hosts.heard() == (True, True)


def test_hosts_are_separated_in_one_direction_or_both(hosts: Hosts) -> None:
    hosts.cables.separate_one_way(hosts.one, hosts.other)
    assert hosts.heard() == (False, True)
    hosts.cables.reunite(hosts.one, hosts.other)
    assert hosts.heard() == (True, True)

    hosts.cables.separate(hosts.one, hosts.other)
    assert hosts.heard() == (False, False)
    hosts.cables.reunite(hosts.one, hosts.other)
    assert hosts.heard() == (True, True)


def _socket_on(host: Host) -> socket.socket:
    """Return a socket that stays on a host, wherever it is used."""
    with working_in(host.namespace):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("", PORT))
        made.settimeout(BOUND_SECONDS)
        return made
