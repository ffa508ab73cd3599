"""Three brokers and two replicas of each service, spread over three hosts."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from services.local.broker import find_binary
from sluiceway.http.server import write_atomically
from tests.support.waiting import eventually

from .disks import small_disk
from .history import LogLine, ProcessEnd
from .hosts import Host, Network
from .processes import HostProcess
from .replicas import ask_brokers, incomplete_streams

BROKERS = 3
REPLICAS = 2
CLIENT_PORT, ROUTE_PORT, MONITOR_PORT = 4222, 6222, 8222
#: The first port of the health pages; each service has the next one.
SERVICE_PORT = 8301
SERVICES = ("scheduler", "evaluator_publisher", "monitor")
#: The broker whose store has a small disk.
SMALL_DISK = f"broker-{BROKERS}"
#: The folder of the stores of all brokers.
STORES = "stores"
REGIONS = ("dev", "prod-us-west", "prod-eu")
#: What a service logs if it finds less in a stream than it has read, or than another process has written.
BREAKS = (
    " went back: ",
    "what RULES held was removed",
    "messages were removed from RULES",
    "reading the stream FEATURES from the start",  # of that one, nothing is ever removed
    "replacing rules of a lost history",
    "the log does not hold it",
)
#: What it logs if it does not know how something could happen.
ERRORS = ("Traceback (most recent call last)", "internal error", "was never retrieved", "was never awaited")
#: For the first start of everything: fifteen processes on a machine that may have two cores.
START_SECONDS = 120.0
#: Who answers no ping is given up by its broker: a client after six seconds, another broker after three.
#: Until then a broker passes commands on to a scheduler that is cut off: for minutes, by default.
CLIENT_PINGS = 'ping_interval: "2s"\nping_max: 2\n'
ROUTE_PINGS = 'ping_interval: "1s"\nping_max: 2\n'
#: nats-server takes no shorter duration, and needs a grace period that is shorter.
LAME_DUCK = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "2s"\n'


class Cluster:
    """The processes of a run, by name, and how to ask them."""

    def __init__(self, folder: Path, network: Network, ends: list[ProcessEnd]) -> None:
        """`ends`: where the ends of all processes are recorded."""
        self.folder = folder
        self.network = network
        self.brokers: list[HostProcess] = []
        self.services: list[HostProcess] = []
        #: Region → its edges.
        self.edges: dict[str, list[HostProcess]] = {}
        self._ends = ends
        self.http = httpx2.AsyncClient()
        #: Each replica is on another host than the one before it.
        self._hosts = itertools.cycle(network.hosts)
        self._ports = itertools.count(SERVICE_PORT)

    @property
    def nats_url(self) -> str:
        return ",".join(f"nats://{host.address}:{CLIENT_PORT}" for host in self.network.hosts)

    def processes(self) -> list[HostProcess]:
        """Return all processes."""
        return [*self.brokers, *self.asking()]

    def asking(self) -> list[HostProcess]:
        """Return the clients of the brokers: services and edges."""
        return [*self.services, *(edge for edges in self.edges.values() for edge in edges)]

    def replicas(self) -> list[list[HostProcess]]:
        """Return the replicas of each service, and the edges of each region."""
        first = range(0, len(self.services), REPLICAS)
        return [*(self.services[number : number + REPLICAS] for number in first), *self.edges.values()]

    def on(self, host: Host) -> list[HostProcess]:
        """Return the processes of a host."""
        return [process for process in self.processes() if process.host == host]

    def store_folder(self, broker_name: str) -> Path:
        """Return where a broker keeps its streams."""
        return self.folder / STORES / broker_name / "jetstream"

    def set_clock(self, host: Host, seconds_ahead: float) -> None:
        """Set by how much the services of a host see the time wrongly; no broker does."""
        write_atomically(self._clock_file(host), str(seconds_ahead))

    async def unready(self) -> dict[str, str]:
        """Return the processes and streams that are not ready, each with the reason."""
        processes = self.processes()
        reasons = await asyncio.gather(*(process.ask(self.http) for process in processes))
        unready = {each.name: why for each, why in zip(processes, reasons, strict=True) if why}
        return unready | await self.incomplete()

    async def incomplete(self) -> dict[str, str]:
        """Return the streams that lack a leader or a replica."""
        streams = incomplete_streams(await ask_brokers(self.brokers, self.http), BROKERS)
        return dict.fromkeys(streams, "a replica is not current, or it has no leader")

    def logged(self, texts: Iterable[str]) -> list[LogLine]:
        """Return the lines of all logs, except the brokers', that have one of these texts."""
        return [
            LogLine(process=process.name, line=line)
            for process in self.asking()
            for line in process.log.read_text(errors="replace").splitlines()
            if any(text in line for text in texts)
        ]

    async def start(self) -> None:
        """Start the brokers, then the services; return once all are ready."""
        for folder in ("logs", "clocks", "edges"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        for host in self.network.hosts:
            self.set_clock(host, 0)
            self.brokers.append(self._broker(host))
        await self._all_ready(self.brokers)
        for service in SERVICES:
            for number in range(1, REPLICAS + 1):
                self.services.append(
                    self._service(f"{service}-{number}", service, next(self._hosts), next(self._ports))
                )
        await self._all_ready(self.services)

    async def start_edges(self) -> None:
        """Start the edges, once the catalogue has their regions; return once all are ready."""
        for region in REGIONS:
            self.edges[region] = [
                self._edge(f"edge-{region}-{number}", region, next(self._hosts), next(self._ports))
                for number in range(1, REPLICAS + 1)
            ]
        await self._all_ready([edge for edges in self.edges.values() for edge in edges])

    async def stop(self) -> None:
        """Stop everything: those who ask first."""
        edges = [edge for edges in self.edges.values() for edge in edges]
        await asyncio.gather(*(process.close() for process in (*edges, *self.services)))
        await asyncio.gather(*(broker.close() for broker in self.brokers))
        await self.http.aclose()

    async def _all_ready(self, processes: list[HostProcess]) -> None:
        await asyncio.gather(*(process.start() for process in processes))

        async def look() -> bool:
            return not any(await asyncio.gather(*(process.ask(self.http) for process in processes)))

        await eventually(look, f"{', '.join(each.name for each in processes)} are ready", START_SECONDS)

    def _broker(self, host: Host) -> HostProcess:
        name = f"broker-{host.number}"
        config = self.folder / f"{name}.conf"
        store = self.store_folder(name)
        store.mkdir(parents=True, exist_ok=True)
        route = f"listen: {host.address}:{ROUTE_PORT}"
        routes = ", ".join(f"nats://{each.address}:{ROUTE_PORT}" for each in self.network.hosts)
        config.write_text(
            f"server_name: {name}\nlisten: {host.address}:{CLIENT_PORT}\n"
            f"http: {host.management_address}:{MONITOR_PORT}\n{LAME_DUCK}{CLIENT_PINGS}"
            f'jetstream {{store_dir: "{store}", max_file_store: 100GB}}\n'
            f"cluster {{name: chaos, {route}, routes: [{routes}]\n{ROUTE_PINGS}}}\n"
        )
        return HostProcess(
            name,
            host,
            (str(find_binary()), "--config", str(config)),
            health=f"http://{host.management_address}:{MONITOR_PORT}/healthz",
            log=self._log_file(name),
            on_end=self._ends.append,
        )

    def _edge(self, name: str, region: str, host: Host, port: int) -> HostProcess:
        folder = str(self.folder / "edges")
        return self._service(name, "edge", host, port, REGION=region, INSTANCE=name, SNAPSHOT_DIR=folder)

    def _service(self, name: str, service: str, host: Host, port: int, **settings: str) -> HostProcess:
        settings = {
            "NATS_URL": self.nats_url,
            "ALLOW_ANONYMOUS_BROKER": "true",  # nobody else reaches these namespaces
            "STREAM_REPLICAS": str(BROKERS),
            "HTTP_HOST": host.management_address,
            "HTTP_PORT": str(port),
            "LOG_FORMAT": "text",
            **settings,
        }
        launcher = ("-m", "tests.support.host_clock", str(self._clock_file(host)))
        return HostProcess(
            name,
            host,
            (sys.executable, *launcher, f"services.{service}"),
            health=f"http://{host.management_address}:{port}/readyz",
            log=self._log_file(name),
            environment={f"SLUICEWAY_{key}": value for key, value in settings.items()},
            on_end=self._ends.append,
        )

    def _clock_file(self, host: Host) -> Path:
        return self.folder / "clocks" / host.name

    def _log_file(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


@asynccontextmanager
async def running_cluster(
    folder: Path, network: Network, disk_mebibytes: int, ends: list[ProcessEnd]
) -> AsyncIterator[Cluster]:
    """Run everything but the edges while the block runs; one broker has a disk of this size.

    `ends`: where the ends of all processes are recorded.
    """
    cluster = Cluster(folder, network, ends)
    with small_disk(cluster.store_folder(SMALL_DISK).parent, disk_mebibytes):
        try:
            await cluster.start()
            yield cluster
        finally:
            await cluster.stop()
