"""A real cluster of nats-servers: processes of this host, each of which can be killed, paused and started."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StorageType, StreamConfig

from services.local.broker import HOST, EmbeddedBroker
from sluiceway.messaging.connection import Connection, connected
from sluiceway.nats_servers import NatsServers
from sluiceway.settings import BrokerSettings
from tests.support.proxies import free_port
from tests.support.waiting import eventually

SERVERS = 3
#: A cluster elects its leaders within some 2 s; so long on a machine that does much else.
READY_SECONDS = 30.0
#: After the death of a leader, the others elect one within 4 to 8 s.
ELECTED_SECONDS = 30.0
REQUEST_SECONDS = 1.0
#: A server that is told to lead does so within this time, if it has what the leader has.
STEPPED_DOWN_SECONDS = 2.0


class _Replica(msgspec.Struct, frozen=True):
    current: bool = False
    lag: int = 0


class _Group(msgspec.Struct, frozen=True):
    leader: str = ""
    replicas: tuple[_Replica, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    """What is read of what JetStream says of a stream."""

    cluster: _Group = _Group()


class ClusterServer(EmbeddedBroker):
    """One server of a cluster. It keeps its name, its ports and its data."""

    def __init__(self, folder: Path, name: str, cluster: str, route: int, routes: Sequence[int]) -> None:
        folder.mkdir(parents=True)
        config = folder / "broker.conf"
        config.write_text(
            f"server_name: {name}\n"
            f"jetstream {{store_dir: {json.dumps(str(folder / 'jetstream'))}}}\n"
            f"cluster {{name: {cluster}, listen: '{HOST}:{route}', routes: {json.dumps(_urls(routes))}}}\n"
        )
        super().__init__(folder, config=config)
        self.name = name

    def pause(self) -> None:
        """Stop the process as SIGSTOP does: it keeps its connections and answers nothing.

        Its threads stop one after the other, so this waits for all of them.
        """
        os.waitid(os.P_PID, self._signal(signal.SIGSTOP), os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def lame_duck(self) -> None:
        """Have the server give its leaders away and its clients notice, then end."""
        self._signal(signal.SIGUSR2)

    def _signal(self, number: int) -> int:
        """Send a signal; return the id of the process."""
        assert self.pid is not None, f"{self.name} does not run"
        os.kill(self.pid, number)
        return self.pid


class Cluster:
    """The running servers, and who leads what."""

    def __init__(self, servers: Sequence[ClusterServer]) -> None:
        self.servers = tuple(servers)

    @property
    def url(self) -> str:
        """The addresses of all servers, as the setting `nats_url` takes them."""
        return ",".join(server.url for server in self.servers)

    def server(self, name: str) -> ClusterServer:
        """Return the server with a name."""
        return next(server for server in self.servers if server.name == name)

    def others(self, name: str) -> tuple[ClusterServer, ...]:
        """Return all servers but one."""
        return tuple(server for server in self.servers if server.name != name)

    async def leader(self, stream: str) -> ClusterServer:
        """Return the server that leads a stream, once there is one."""
        async with self.client() as client:
            name = await eventually(
                lambda: _leader_of(client, stream), f"{stream} has a leader", ELECTED_SECONDS
            )
        return self.server(name)

    async def move_leader(self, stream: str, to: ClusterServer) -> None:
        """Have a stream led by a server that has a replica of it."""
        async with self.client() as client:

            async def is_moved() -> bool:
                return await _leader_of(client, stream) == to.name

            deadline = time.monotonic() + ELECTED_SECONDS
            while not await is_moved():
                assert time.monotonic() < deadline, f"{to.name} does not lead {stream}"
                body = json.dumps({"placement": {"preferred": to.name}}).encode()
                await _answer(client, f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", body)
                with contextlib.suppress(AssertionError):  # it is asked for again
                    await eventually(is_moved, f"{to.name} leads {stream}", STEPPED_DOWN_SECONDS)

    async def wait_in_sync(self, stream: str) -> None:
        """Return once each replica of a stream has all that the leader has."""
        async with self.client() as client:

            async def is_current() -> bool:
                replicas = (await _answer(client, f"$JS.API.STREAM.INFO.{stream}")).cluster.replicas
                return bool(replicas) and all(replica.current and not replica.lag for replica in replicas)

            await eventually(is_current, f"the replicas of {stream} are current", ELECTED_SECONDS)

    @asynccontextmanager
    async def client(self, *servers: ClusterServer) -> AsyncIterator[Client]:
        """Return a client that connects to one of these first, by default of all; it moves if that ends."""
        async with self.connection(*servers) as connection:
            yield connection.client

    @asynccontextmanager
    async def connection(self, *servers: ClusterServer) -> AsyncIterator[Connection]:
        """Return a connection, as `client` does."""
        urls = ",".join(server.url for server in servers or self.servers)
        async with connected(BrokerSettings(nats_url=NatsServers.parse(urls)), "test") as connection:
            yield connection


@asynccontextmanager
async def cluster(folder: Path, count: int = SERVERS) -> AsyncIterator[Cluster]:
    """Run a cluster that stores a stream on each of its servers, until the block ends."""
    name, routes = f"test-{uuid4().hex[:8]}", [free_port() for _ in range(count)]
    servers = [
        ClusterServer(folder / f"n{number}", f"n{number}", name, route, routes)
        for number, route in enumerate(routes, 1)
    ]
    try:
        for server in servers:  # they start at the same time, since each returns before it knows the others
            server.__enter__()
        running = Cluster(servers)
        await _ready(running)
        yield running
    finally:
        for server in servers:
            server.kill()  # a paused server ends, too
            server.__exit__()


async def _ready(running: Cluster) -> None:
    """Return once a stream can be stored on every server."""
    config = StreamConfig(name="PROBE", num_replicas=len(running.servers), storage=StorageType.MEMORY)
    deadline = time.monotonic() + READY_SECONDS
    async with running.client() as client:
        js = client.jetstream(timeout=REQUEST_SECONDS)
        while True:
            try:
                await js.add_stream(config)
                await js.delete_stream("PROBE")
                return
            except (NatsError, TimeoutError):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)


async def _leader_of(client: Client, stream: str) -> str | None:
    return (await _answer(client, f"$JS.API.STREAM.INFO.{stream}")).cluster.leader or None


async def _answer(client: Client, subject: str, body: bytes = b"") -> _Answer:
    """Return an answer of JetStream; an empty one without."""
    try:
        reply = await client.request(subject, body, timeout=REQUEST_SECONDS)
    except (NatsError, TimeoutError):
        return _Answer()
    return msgspec.json.decode(reply.data, type=_Answer)


def _urls(routes: Sequence[int]) -> list[str]:
    return [f"nats-route://{HOST}:{route}" for route in routes]
