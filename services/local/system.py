"""All processes together: a broker, the services, and an edge for every region of the catalogue."""

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
from sluiceway.service import background_task
from sluiceway.settings import BrokerSettings
from sluiceway.tasks import cancel_and_wait

from .broker import EmbeddedBroker, locked
from .processes import (
    RESTART_FIRST_SECONDS,
    RESTART_MAX_SECONDS,
    STAYED_UP_SECONDS,
    Ended,
    ManagedProcess,
    ProcessSpec,
)

ROOT = Path(__file__).parents[2]
SERVICES = ("scheduler", "evaluator_publisher", "monitor", "console")
READY_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.05


@dataclass(frozen=True)
class Options:
    """What to run, and where."""

    data_dir: Path = Path("data")
    #: An existing broker in place of the embedded one.
    nats_url: str | None = None
    port: int = 0
    restart: bool = True
    #: Process → number of replicas, where it is not one.
    scale: Mapping[str, int] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda line: None


class System:
    """What runs. `system.json` in the data folder always says the same."""

    def __init__(self, options: Options, broker: EmbeddedBroker | None, nats_url: str) -> None:
        self.nats_url = nats_url
        self.data_dir = options.data_dir.resolve()
        self.processes: dict[str, ManagedProcess] = {}
        self._options = options
        self._broker = broker
        self._edges = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

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
        """Return a secret: as the environment says, else one of our own, which stays the same."""
        if given := os.environ.get(f"SLUICEWAY_{setting}"):
            return given
        file = self.data_dir / file_name
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(32))
        return file.read_text()

    @property
    def first_key_file(self) -> Path:
        """Where the console writes its first key, at its first start."""
        return self.data_dir / "console.key"

    def console(self) -> str:
        """Return the address of the console."""
        return self.processes["console"].http or ""

    async def ready(self) -> None:
        """Return once every process says that it is ready; `Misconfigured` where one does not."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while missing := await self.missing():  # noqa: ASYNC110 (pages of other processes)
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        except TimeoutError:
            what = "; ".join(f"{name}: {why}" for name, why in missing.items())
            raise Misconfigured(
                f"not ready after {READY_SECONDS:g} s: {what}; logs: {self.data_dir / 'logs'}"
            ) from None

    async def missing(self) -> dict[str, str]:
        """Return which processes are not ready, and why."""
        looks = {name: asyncio.to_thread(_why_not_ready, p.http) for name, p in self.processes.items()}
        answers = zip(looks, await asyncio.gather(*looks.values()), strict=True)
        return {name: why for name, why in answers if why}

    def edges(self) -> dict[str, str]:
        """Return the address of every edge, by its name."""
        return {name: p.http or "" for name, p in self.processes.items() if name.startswith("edge-")}

    def note_region(self, kind: str, name: str, stored: StoredDocument | None) -> None:
        """Take a region that came or went: its edge does too."""
        if kind == "region":
            task = asyncio.create_task(self._follow_region(name, is_there=stored is not None))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Return once every edge that is due has been started."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """End every process, all at once."""
        for task in tuple(self._tasks):
            await cancel_and_wait(task)
        await asyncio.gather(*(process.stop() for process in self.processes.values()))
        self.write()

    def write(self) -> None:
        """Write `system.json`, as a whole."""
        processes = {name: {"pid": p.pid, "http": p.http} for name, p in self.processes.items()}
        if self._broker:
            processes["broker"] = {"pid": self._broker.pid, "http": None}
        content = {"nats_url": self.nats_url, "processes": processes}
        write_atomically(self.data_dir / "system.json", json.dumps(content, indent=2) + "\n")

    async def _follow_region(self, name: str, *, is_there: bool) -> None:
        async with self._edges:
            for replica in _replicas(f"edge-{name}", self._options.scale):
                if is_there and replica not in self.processes:
                    snapshots = str(self.data_dir / "edges")
                    settings = {"REGION": name, "INSTANCE": replica, "SNAPSHOT_DIR": snapshots}
                    await self._start(replica, "services.edge", settings)
                elif not is_there and replica in self.processes:
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
            on_ended=self._tell_ended,
        )
        self.processes[name] = process
        await process.start()
        self._options.tell(f"started {name} (process {process.pid})")

    def _tell_ended(self, ended: Ended) -> None:
        how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"ended with code {ended.code}"
        then = (
            "stays dead"
            if ended.again_in_seconds is None
            else f"starts again in {ended.again_in_seconds:g} s"
        )
        self._options.tell(f"{ended.name} {how}, {then}; its log: {ended.log}")

    async def watch_broker(self) -> None:
        """Start the embedded broker again when it dies."""
        assert self._broker
        delay = RESTART_FIRST_SECONDS
        while True:
            begun = asyncio.get_running_loop().time()
            code = await asyncio.to_thread(self._broker.wait)
            if asyncio.get_running_loop().time() - begun > STAYED_UP_SECONDS:
                delay = RESTART_FIRST_SECONDS
            again = delay if self._options.restart else None
            self._tell_ended(Ended("broker", code, again, self._broker.log))
            self.write()
            if again is None:
                await asyncio.Event().wait()
            await asyncio.sleep(delay)
            delay = min(2 * delay, RESTART_MAX_SECONDS)
            self._broker.start()
            self.write()


@asynccontextmanager
async def running_system(options: Options) -> AsyncIterator[System]:
    """Run everything while the block does; afterwards nothing of it is left.

    `Misconfigured` or `Unavailable`, with what to do, where it cannot start.
    """
    check_scale(options.scale)
    async with AsyncExitStack() as stack:
        options.data_dir.mkdir(parents=True, exist_ok=True)
        stack.enter_context(locked(options.data_dir.resolve() / "lock"))
        broker = None
        if options.nats_url is None:
            broker = stack.enter_context(EmbeddedBroker(options.data_dir.resolve() / "broker", options.port))
            options.tell(f"started broker (process {broker.pid}) at {broker.url}")
        url = options.nats_url or (broker.url if broker else "")
        settings = BrokerSettings(nats_url=url)
        async with connected(settings, "local-check", wait_for_broker=False):
            pass
        system = System(options, broker, url)
        if broker:
            stack.callback(system.write)  # once more, with the broker ended
            stack.callback(broker.stop)
            await stack.enter_async_context(background_task(system.watch_broker(), "watch broker"))
        stack.push_async_callback(system.stop)
        for name in SERVICES:
            await system.start_service(name)
        connection = await stack.enter_async_context(connected(settings, "local"))
        await _follow_regions(connection, system, stack)
        yield system


async def _follow_regions(connection: Connection, system: System, stack: AsyncExitStack) -> None:
    view = CatalogueView(connection)
    view.on_change = system.note_region
    await stack.enter_async_context(view)
    try:
        async with asyncio.timeout(READY_SECONDS):
            await view.caught_up()
    except TimeoutError:
        raise Misconfigured(
            f"nobody declared the catalogue within {READY_SECONDS:g} s: does a scheduler run? "
            f"logs: {system.data_dir / 'logs'}"
        ) from None
    await system.settled()


def check_scale(scale: Mapping[str, int]) -> None:
    """Raise `Misconfigured` for a process that cannot be scaled."""
    for name, count in scale.items():
        if name not in SERVICES and not name.startswith("edge-"):
            known = ", ".join((*SERVICES, "edge-<region>"))
            raise Misconfigured(f"--scale {name}: there is no such process; there are {known}")
        if not 0 <= count <= 20:
            raise Misconfigured(f"--scale {name}={count}: 0 to 20 replicas are possible")


def _replicas(name: str, scale: Mapping[str, int]) -> list[str]:
    """Return the names of all replicas: scheduler, scheduler-2, …"""
    return [name if n == 1 else f"{name}-{n}" for n in range(1, scale.get(name, 1) + 1)]


def _why_not_ready(http: str | None) -> str | None:
    if http is None:
        return "it has not said where its pages are"
    try:
        with urllib.request.urlopen(f"{http}/readyz", timeout=3):  # noqa: S310 (our own address)
            return None
    except OSError as error:
        return str(error)
