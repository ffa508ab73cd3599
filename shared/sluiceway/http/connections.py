"""Which connections a process keeps: bounded for each address and in total.

When there are too many, those that are worth least are closed first: a connection that never sent a request,
then one that waits for its next request, the oldest of them. One whose request is being answered is never
closed for another: a new connection is refused instead. It may still ask for the health pages, so that
Prometheus and the supervisor of this process always get an answer.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, Protocol

from sluiceway.telemetry import metrics

#: Refused connections that are kept for a request of a health page; the oldest is closed first.
RESERVED_CONNECTIONS = 32
#: After how many seconds a refused client may try again.
RETRY_AFTER_SECONDS = 5
#: Networks that are remembered as addresses are looked up.
NETWORKS_REMEMBERED = 4_096
#: Whoever has one IPv6 address has all of a network of this size.
IPV6_PREFIX = 64


class Stage(IntEnum):
    """What a connection does. The lowest is closed first."""

    #: It has not sent a request yet.
    SILENT = 0
    #: It has sent requests before, and the next one is not complete.
    WAITING = 1
    #: Its request is complete, and is being answered.
    BUSY = 2


class ConnectionRefusal(NamedTuple):
    """Why a connection is not served, except for the health pages.

    The status is 503: an Alertmanager gives up after 429.
    """

    limit: str
    reason: str


class Expendable(Protocol):
    """A connection that can be closed for another."""

    def evict(self) -> None:
        """Close it immediately. `Connections.discard` follows."""


class _Group:
    """Connections by stage, in each the oldest first."""

    def __init__(self) -> None:
        self._by_stage: dict[Stage, dict[Expendable, None]] = {stage: {} for stage in Stage}

    def __len__(self) -> int:
        return sum(map(len, self._by_stage.values()))

    def move(self, connection: Expendable, before: Stage | None, stage: Stage | None) -> None:
        if before is not None:
            self._by_stage[before].pop(connection, None)
        if stage is not None:
            self._by_stage[stage][connection] = None

    def first(self, last_stage: Stage) -> Expendable | None:
        """Return the connection that is worth least, up to a stage."""
        for stage, connections in self._by_stage.items():
            if connections and stage <= last_stage:
                return next(iter(connections))
        return None


@dataclass(slots=True)
class _Place:
    stage: Stage
    groups: tuple[_Group, ...]
    network: str | None


class Connections:
    """The connections of a server."""

    def __init__(self, total: int, per_address: int, is_trusted: Callable[[str], bool]) -> None:
        """`is_trusted`: whether an address is that of a proxy, which connects for many clients."""
        self._total = total
        self._per_address = min(per_address, total // 2)
        self._is_trusted = is_trusted
        self._places: dict[Expendable, _Place] = {}
        self._all = _Group()
        self._reserved = _Group()
        self._by_network: defaultdict[str, _Group] = defaultdict(_Group)

    def __len__(self) -> int:
        return len(self._places)

    def admit(self, connection: Expendable, address: str) -> ConnectionRefusal | None:
        """Take a new connection in, for which another may be closed; or say why it is refused."""
        network = None if self._is_trusted(address) else network_of(address)
        refusal = self._make_room(network)
        if refusal:
            if len(self._reserved) >= RESERVED_CONNECTIONS:
                self._evict(self._reserved.first(Stage.BUSY))
            self._put(connection, _Place(Stage.SILENT, (self._reserved,), None))
            metrics.HTTP_REFUSED.labels(refusal.limit).inc()
        else:
            groups = (self._all,) if network is None else (self._all, self._by_network[network])
            self._put(connection, _Place(Stage.SILENT, groups, network))
        return refusal

    def move(self, connection: Expendable, stage: Stage) -> None:
        """Record what a connection does now."""
        place = self._places.get(connection)
        if place is not None:
            for group in place.groups:
                group.move(connection, place.stage, stage)
            place.stage = stage

    def discard(self, connection: Expendable) -> None:
        """Forget a connection that is closed."""
        place = self._places.pop(connection, None)
        if place is None:
            return
        for group in place.groups:
            group.move(connection, place.stage, None)
        if place.network is not None and not self._by_network[place.network]:
            del self._by_network[place.network]

    def _make_room(self, network: str | None) -> ConnectionRefusal | None:
        if network is not None:
            own = self._by_network.get(network)
            if (
                own is not None
                and len(own) >= self._per_address
                and not self._evict(own.first(Stage.WAITING))
            ):
                return ConnectionRefusal(
                    "address",
                    f"too many connections from your address: at most {self._per_address} are served at a "
                    f"time; use fewer, or try again in {RETRY_AFTER_SECONDS} s",
                )
        if len(self._all) >= self._total and not self._evict(self._all.first(Stage.WAITING)):
            return ConnectionRefusal(
                "total",
                f"too many connections: at most {self._total} are served at a time; "
                f"try again in {RETRY_AFTER_SECONDS} s",
            )
        return None

    def _evict(self, connection: Expendable | None) -> bool:
        if connection is None:
            return False
        self.discard(connection)
        metrics.HTTP_CLOSED.labels("evicted").inc()
        connection.evict()
        return True

    def _put(self, connection: Expendable, place: _Place) -> None:
        self._places[connection] = place
        for group in place.groups:
            group.move(connection, None, place.stage)


@lru_cache(NETWORKS_REMEMBERED)
def network_of(address: str) -> str:
    """Return what one client counts as: an IPv4 address, or the network of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
