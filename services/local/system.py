"""All processes together: a broker, the services, and an edge for each region in the catalogue."""

import asyncio
import json
import os
import secrets
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sluiceway.errors import Misconfigured
from sluiceway.http.server import write_atomically
from sluiceway.messaging.catalogue_store import CatalogueView, StoredDocument
from sluiceway.messaging.connection import Connection, connected
from sluiceway.nats_servers import NatsServers
from sluiceway.service import background_task
from sluiceway.settings import BrokerSettings, read_settings
from sluiceway.tasks import cancel_and_wait

from .broker import EmbeddedBroker, lock_file
from .processes import (
    RESTART_FIRST_SECONDS,
    RESTART_MAX_SECONDS,
    STABLE_SECONDS,
    ManagedProcess,
    ProcessExit,
    ProcessSpec,
)

ROOT = Path(__file__).parents[2]
SERVICES = ("scheduler", "evaluator_publisher", "monitor", "console")
READY_SECONDS = 60.0
REPLICAS_MAX = 20
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Options:
    """What to run, and where."""

    data_dir: Path = Path("data")
    #: An existing broker to use instead of the embedded one.
    nats_url: str | None = None
    port: int = 0
    restart: bool = True
    #: Process → number of replicas; 1 for those that are not listed.
    scale: Mapping[str, int] = field(default_factory=dict)
    print_line: Callable[[str], None] = lambda line: None


class System:
    """The processes that run. `system.json` in the data folder lists them too."""

    def __init__(self, options: Options, broker: EmbeddedBroker | None, nats_url: str) -> None:
        self.nats_url = nats_url
        self.data_dir = options.data_dir.resolve()
        self.processes: dict[str, ManagedProcess] = {}
        self._options = options
        self._broker = broker
        self._edges_lock = asyncio.Lock()
        self._region_tasks: set[asyncio.Task[None]] = set()

    @property
    def shown_url(self) -> str:
        """The broker's URL without a password."""
        return str(NatsServers.parse(self.nats_url))

    async def start_service(self, name: str) -> None:
        """Start a service and its replicas."""
        for replica in _replicas(name, self._options.scale):
            await self._start(replica, f"services.{name}", self._settings_of(name))

    def _settings_of(self, name: str) -> Mapping[str, str]:
        match name:
            case "monitor":
                return {"ALERTMANAGER_TOKEN": self._secret("ALERTMANAGER_TOKEN", "alertmanager.token")}
            case "console":
                secret = self._secret("SESSION_SECRET", "session.secret")
                return {"SESSION_SECRET": secret, "BOOTSTRAP_KEY_FILE": str(self.first_key_file)}
            case _:
                return {}

    def _secret(self, setting: str, file_name: str) -> str:
        """Return the secret in the environment, else a generated one that is kept in a file."""
        if configured := os.environ.get(f"SLUICEWAY_{setting}"):
            return configured
        file = self.data_dir / file_name
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(32))
        return file.read_text()

    @property
    def first_key_file(self) -> Path:
        """The file that the console writes its first key to, at its first start."""
        return self.data_dir / "console.key"

    def console_url(self) -> str:
        """Return the URL of the console."""
        return self.processes["console"].http or ""

    async def ready(self) -> None:
        """Wait until every process is ready; `Misconfigured` if one is not within `READY_SECONDS`."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while unready := await self.unready():  # noqa: ASYNC110 (other processes)
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            what = "; ".join(f"{name}: {reason}" for name, reason in unready.items())
            raise Misconfigured(
                f"not ready after {READY_SECONDS:g} s: {what}; see the logs in {self.data_dir / 'logs'}"
            ) from None

    async def unready(self) -> dict[str, str]:
        """Return the processes that are not ready, each with the reason."""
        checks = {name: asyncio.to_thread(_why_not_ready, p.http) for name, p in self.processes.items()}
        reasons = zip(checks, await asyncio.gather(*checks.values()), strict=True)
        return {name: reason for name, reason in reasons if reason}

    def edge_urls(self) -> dict[str, str]:
        """Return the URL of each edge by the name of its process."""
        return {name: p.http or "" for name, p in self.processes.items() if name.startswith("edge-")}

    def on_catalogue_change(self, kind: str, name: str, stored: StoredDocument | None) -> None:
        """Start the edge of a region that was saved, and stop that of one that was deleted."""
        if kind == "region":
            task = asyncio.create_task(self._update_edges(name, exists=stored is not None))
            self._region_tasks.add(task)
            task.add_done_callback(self._region_tasks.discard)

    async def edges_started(self) -> None:
        """Wait until the edges of all known regions have been started."""
        while self._region_tasks:
            await asyncio.gather(*self._region_tasks)

    async def stop(self) -> None:
        """Stop all processes, at the same time."""
        for task in tuple(self._region_tasks):
            await cancel_and_wait(task)
        await asyncio.gather(*(process.stop() for process in self.processes.values()))
        self.write()

    def write(self) -> None:
        """Write `system.json` atomically."""
        processes = {name: {"pid": p.pid, "http": p.http} for name, p in self.processes.items()}
        if self._broker:
            processes["broker"] = {"pid": self._broker.pid, "http": None}
        content = {"nats_url": self.shown_url, "processes": processes}
        write_atomically(self.data_dir / "system.json", json.dumps(content, indent=2) + "\n")

    async def _update_edges(self, name: str, *, exists: bool) -> None:
        async with self._edges_lock:
            for replica in _replicas(f"edge-{name}", self._options.scale):
                if exists and replica not in self.processes:
                    snapshots = str(self.data_dir / "edges")
                    settings = {"REGION": name, "INSTANCE": replica, "SNAPSHOT_DIR": snapshots}
                    settings["PUBLIC_URL"] = ""  # the one in the environment is the console's
                    await self._start(replica, "services.edge", settings)
                elif not exists and replica in self.processes:
                    await self.processes.pop(replica).stop()
                    self.write()

    async def _start(self, name: str, module: str, settings: Mapping[str, str]) -> None:
        environment = {"NATS_URL": self.nats_url, "HTTP_PORT": "0", "LOG_FORMAT": "text", **settings}
        spec = ProcessSpec(
            name,
            (sys.executable, "-m", module),
            {f"SLUICEWAY_{key}": value for key, value in environment.items()},
            ROOT,
        )
        process = ManagedProcess(
            spec,
            self.data_dir,
            restart=self._options.restart,
            on_change=self.write,
            on_exit=self._print_exit,
        )
        self.processes[name] = process
        await process.start()
        self._options.print_line(f"started {name} (process {process.pid})")

    def _print_exit(self, exited: ProcessExit) -> None:
        how = f"was killed by signal {-exited.code}" if exited.code < 0 else f"exited with code {exited.code}"
        delay = exited.restart_in_seconds
        consequence = "is not restarted" if delay is None else f"restarts in {delay:g} s"
        self._options.print_line(f"{exited.name} {how}; it {consequence}; see its log {exited.log}")

    async def supervise_broker(self) -> None:
        """Restart the embedded broker whenever it ends."""
        assert self._broker
        delay = RESTART_FIRST_SECONDS
        while True:
            started = asyncio.get_running_loop().time()
            code = await asyncio.to_thread(self._broker.wait)
            if asyncio.get_running_loop().time() - started > STABLE_SECONDS:
                delay = RESTART_FIRST_SECONDS
            restart_in_seconds = delay if self._options.restart else None
            self._print_exit(ProcessExit("broker", code, restart_in_seconds, self._broker.log))
            self.write()
            if restart_in_seconds is None:
                await asyncio.Event().wait()
            await asyncio.sleep(delay)
            delay = min(2 * delay, RESTART_MAX_SECONDS)
            self._broker.start()
            self.write()


@asynccontextmanager
async def running_system(options: Options) -> AsyncIterator[System]:
    """Run all processes while the block runs, and stop them all afterwards.

    `Misconfigured` or `Unavailable`, with what to do, if the system cannot start.
    """
    check_scale(options.scale)
    async with AsyncExitStack() as stack:
        options.data_dir.mkdir(parents=True, exist_ok=True)
        stack.enter_context(lock_file(options.data_dir.resolve() / "lock"))
        broker = None
        if options.nats_url is None:
            broker = stack.enter_context(EmbeddedBroker(options.data_dir.resolve() / "broker", options.port))
            options.print_line(f"started broker (process {broker.pid}) at {broker.url}")
        url = options.nats_url or (broker.url if broker else "")
        settings = read_settings(BrokerSettings, nats_url=url)
        async with connected(settings, "local-check", wait_for_broker=False):
            pass
        system = System(options, broker, url)
        if broker:
            stack.callback(system.write)  # once more, when the broker has stopped
            stack.callback(broker.stop)
            await stack.enter_async_context(background_task(system.supervise_broker(), "supervise broker"))
        stack.push_async_callback(system.stop)
        for name in SERVICES:
            await system.start_service(name)
        connection = await stack.enter_async_context(connected(settings, "local"))
        await _follow_regions(connection, system, stack)
        yield system


async def _follow_regions(connection: Connection, system: System, stack: AsyncExitStack) -> None:
    view = CatalogueView(connection)
    view.on_change = system.on_catalogue_change
    await stack.enter_async_context(view)
    try:
        async with asyncio.timeout(READY_SECONDS):
            await view.caught_up()
    except TimeoutError:
        raise Misconfigured(
            f"the scheduler did not create the catalogue within {READY_SECONDS:g} s; "
            f"see the logs in {system.data_dir / 'logs'}"
        ) from None
    await system.edges_started()


def check_scale(scale: Mapping[str, int]) -> None:
    """Raise `Misconfigured` if a process does not exist or the number of replicas is invalid."""
    for name, count in scale.items():
        if name not in SERVICES and not name.startswith("edge-"):
            known = ", ".join((*SERVICES, "edge-<region>"))
            raise Misconfigured(f"--scale {name}: unknown process {name!r} (known: {known})")
        if not 0 <= count <= REPLICAS_MAX:
            raise Misconfigured(f"--scale {name}={count}: use 0 to {REPLICAS_MAX} replicas")


def _replicas(name: str, scale: Mapping[str, int]) -> list[str]:
    """Return the names of all replicas: scheduler, scheduler-2, …"""
    return [name if n == 1 else f"{name}-{n}" for n in range(1, scale.get(name, 1) + 1)]


def _why_not_ready(http: str | None) -> str | None:
    if http is None:
        return "its HTTP server has not started"
    try:
        with urllib.request.urlopen(f"{http}/readyz", timeout=3):  # noqa: S310 (our own address)
            return None
    except OSError as error:
        return str(error)
