"""Hosts of a network of their own: one network namespace each, and one for the switch between them.

This process works in the namespace of the switch. A second network, which no fault touches, leads to the
health pages of every host: so what a host that is cut off says of itself can be read.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PREFIX = "sw-chaos-"
PROGRAMS = ("ip", "nsenter", "unshare", "mount", "umount")
NAMESPACES = Path("/run/netns")
#: Addresses exist in the namespaces only, so they cannot be those of another network.
DATA, MANAGEMENT = "10.213.7", "10.213.8"
#: The last part of the addresses of this process.
OUTSIDE = 254
#: Nobody has this address: frames to it are dropped by everybody.
NOBODY = "02:00:00:00:00:01"
CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


class Host(NamedTuple):
    """A host, numbered from 1."""

    number: int
    namespace: str

    @property
    def name(self) -> str:
        return f"host{self.number}"

    @property
    def address(self) -> str:
        """Its address in the network that faults touch."""
        return f"{DATA}.{self.number}"

    @property
    def management_address(self) -> str:
        return f"{MANAGEMENT}.{self.number}"

    @property
    def entering(self) -> tuple[str, ...]:
        """The words before a command that runs on it."""
        return ("nsenter", f"--net={NAMESPACES / self.namespace}")


class Network:
    """The hosts, and the cables between them."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = tuple(hosts)

    def cut(self, host: Host) -> None:
        """Pull a host's cable: what runs on it reaches only what else runs on it."""
        _ip("link", "set", f"data{host.number}", "down")

    def connect(self, host: Host) -> None:
        """Plug it in again."""
        _ip("link", "set", f"data{host.number}", "up")

    def mute(self, host: Host) -> None:
        """Drop all that a host sends, without a word; it hears all others."""
        for address in self._addresses_beside(host):
            _drop(host, address)

    def deafen(self, host: Host) -> None:
        """Drop all that is sent to a host, without a word; all others hear it."""
        _ip("neigh", "replace", host.address, "lladdr", NOBODY, "dev", "data", "nud", "permanent")
        for other in self.hosts:
            if other != host:
                _drop(other, host.address)

    def heal(self, host: Host) -> None:
        """Let a host that is mute or deaf be neither."""
        for address in self._addresses_beside(host):
            _stop_dropping(host, address)
        _ip("neigh", "flush", "to", host.address, "dev", "data", "nud", "permanent")
        for other in self.hosts:
            if other != host:
                _stop_dropping(other, host.address)

    def _addresses_beside(self, host: Host) -> list[str]:
        """Return the addresses of all others, this process included."""
        return [other.address for other in self.hosts if other != host] + [f"{DATA}.{OUTSIDE}"]

    def separate(self, one: Host, other: Host) -> None:
        """Drop everything between two hosts, without a word; both reach all others."""
        self.separate_one_way(one, other)
        self.separate_one_way(other, one)

    def separate_one_way(self, one: Host, other: Host) -> None:
        """Drop what one host sends to the other, without a word."""
        _drop(one, other.address)

    def reunite(self, one: Host, other: Host) -> None:
        """Let two hosts reach each other again."""
        _stop_dropping(one, other.address)
        _stop_dropping(other, one.address)


def missing_requirements() -> list[str]:
    """Return what is missing here to make such hosts; empty if they can be made."""
    missing = [f"the program {name}" for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if missing:
        return missing
    name = f"{PREFIX}{os.getpid()}-probe"
    if why := _run("ip", "netns", "add", name, is_checked=False):
        return [f"the right to make network namespaces ({why})"]
    try:
        return [f"the right to {what} ({why})" for what, words in _probes(name) if (why := _try(words))]
    finally:
        _run("ip", "netns", "del", name)


def _probes(namespace: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return what a cluster does with a namespace, each with a command that tries it."""
    in_namespace = ("ip", "-n", namespace, "link", "add")
    return [
        ("make bridges", (*in_namespace, "probe", "type", "bridge")),
        ("make cables", (*in_namespace, "probe1", "type", "veth", "peer", "name", "probe2")),
        ("enter network namespaces", ("nsenter", f"--net={NAMESPACES / namespace}", "true")),
        ("mount disks", ("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")),
    ]


def _try(words: Sequence[str]) -> str:
    return _run(*words, is_checked=False)


@contextmanager
def network(count: int) -> Iterator[Network]:
    """Make so many hosts while the block runs, and let this process work at the switch between them.

    Call it before there are other threads: only this one, and those it starts, change their network.
    """
    remove_leftovers()
    prefix = f"{PREFIX}{os.getpid()}-"
    switch = f"{prefix}switch"
    hosts = [Host(number, f"{prefix}host{number}") for number in range(1, count + 1)]
    try:
        for namespace in (switch, *(host.namespace for host in hosts)):
            _run("ip", "netns", "add", namespace)
            _run("ip", "-n", namespace, "link", "set", "lo", "up")
        with working_in(switch):
            for name, addresses in (("data", DATA), ("manage", MANAGEMENT)):
                _ip("link", "add", name, "type", "bridge")
                _ip("address", "add", f"{addresses}.{OUTSIDE}/24", "dev", name)
                _ip("link", "set", name, "up")
                for host in hosts:
                    _plug_in(host, name, addresses)
            yield Network(hosts)
    finally:
        _remove(prefix)


def remove_leftovers() -> None:
    """Remove the namespaces of runs that were killed."""
    for path in NAMESPACES.glob(f"{PREFIX}*"):
        owner = path.name.removeprefix(PREFIX).partition("-")[0]
        if not Path(f"/proc/{owner}").exists():
            _remove(f"{PREFIX}{owner}-")


def _remove(prefix: str) -> None:
    """Remove namespaces, and what still runs in them: a frozen process of a run that was killed, say."""
    for path in NAMESPACES.glob(f"{prefix}*"):
        running = subprocess.run(
            ["ip", "netns", "pids", path.name], capture_output=True, text=True, check=False
        )
        for pid in running.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _run("ip", "netns", "del", path.name)


def _plug_in(host: Host, name: str, addresses: str) -> None:
    """Connect a host to a bridge, by a cable whose end at the host has the name of the bridge."""
    cable = f"{name}{host.number}"
    _ip("link", "add", cable, "type", "veth", "peer", "name", name, "netns", host.namespace)
    _ip("link", "set", cable, "master", name, "up")
    _in(host, "address", "add", f"{addresses}.{host.number}/24", "dev", name)
    _in(host, "link", "set", name, "up")


@contextmanager
def working_in(namespace: str) -> Iterator[None]:
    """Let this thread use the network of a namespace."""
    with Path("/proc/self/ns/net").open() as home, (NAMESPACES / namespace).open() as away:
        _enter(away.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(file: int) -> None:
    if _LIBC.setns(file, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace")


def _drop(here: Host, address: str) -> None:
    """Let a host send what is meant for an address to nobody."""
    _in(here, "neigh", "replace", address, "lladdr", NOBODY, "dev", "data", "nud", "permanent")


def _stop_dropping(here: Host, address: str) -> None:
    _in(here, "neigh", "flush", "to", address, "dev", "data", "nud", "permanent")


def _in(host: Host, *words: str) -> None:
    _run("ip", "-n", host.namespace, *words)


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str, is_checked: bool = True) -> str:
    """Run a command; return what it complained about, in one line."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    complaint = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
    if is_checked:
        raise OSError(f"{' '.join(words)}: {complaint}")
    return complaint
