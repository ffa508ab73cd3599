"""Builds an edge and wires its adapters. An edge starts without a broker, from its cache on disk."""

import asyncio
import sys
from contextlib import AsyncExitStack

from prometheus_client import REGISTRY

from sluiceway.client.region_client import RegionClient
from sluiceway.client.region_rules import RegionRules
from sluiceway.client.rule_cache import RuleCache
from sluiceway.contracts.applied_reports import AppliedChange
from sluiceway.errors import Misconfigured
from sluiceway.http.connections import Connections
from sluiceway.http.file_descriptors import (
    grpc_connections_max,
    http_connections_max,
    raise_file_descriptor_limit,
)
from sluiceway.http.proxies import trusted_proxies
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.service import Service, background_task

from . import metrics
from .collectors import AppliedReleaseCollector
from .earlier_copies import take_earlier_copies
from .http_app import build_http_app
from .key_store import KeyStore
from .limits import waiting_limit
from .link_age import LinkAge
from .ofrep import OfrepRoutes
from .ofrep_events import OfrepEvents
from .poll_reports import PollReports
from .public_address import PublicAddress
from .settings import Settings
from .specs import SpecFeed
from .statsig import StatsigRoutes

#: How often a copy on disk that could not be written is tried again.
STORE_EVERY_SECONDS = 10.0


class Edge(Service):
    """The edge of one region.

    It starts without a broker: building it loads the last good rules and keys from disk, by
    `RegionRules`, `KeyStore` and their `RuleCache`, and its HTTP serves them immediately. `start`
    runs once the broker answers, and follows what has changed since.
    """

    name = "edge"
    settings: Settings
    #: The port of the gRPC stream, once it is served.
    grpc_port: int | None = None

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.instance = settings.instance
        folder = settings.snapshot_dir / settings.instance
        if "instance" not in settings.model_fields_set:
            take_earlier_copies(folder, settings.region)
        self.rules = RegionRules(settings.region, folder)
        self.rules.on_applied = self._record_applied
        self._releases = AppliedReleaseCollector(self.rules)
        self.keys = KeyStore(settings.region, RuleCache(folder / f"{settings.region}.keys"))
        self.feed = SpecFeed(self.rules)
        self.keys.on_change = self.feed.wake
        self.poll_reports = PollReports(settings.region)
        self._client: RegionClient | None = None
        self._link = LinkAge(settings.region, expects_heartbeats=settings.expect_heartbeats)
        address = PublicAddress(settings.public_url)
        self._file_descriptors = raise_file_descriptor_limit()
        waiting = waiting_limit(http_connections_max(self._file_descriptors), settings.streams_per_key)
        statsig = StatsigRoutes(self.feed, self.keys, self.poll_reports, address, waiting)
        events = OfrepEvents(settings.region, self.feed, self.keys, address, waiting)
        ofrep = OfrepRoutes(self.rules, self.feed, self.keys, self.is_stale, events)
        self.pages = build_http_app([*statsig.routes(), *ofrep.routes(), *events.routes()], address)
        metrics.STALE.labels(settings.region).set_function(lambda: float(self.is_stale()))
        metrics.FEATURES.labels(settings.region).set_function(lambda: len(self.rules))
        metrics.APPLIED_REVISION.labels(settings.region).set_function(lambda: self.rules.position.sequence)

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Follow the region's rules and keys from where the cache ends."""
        self.missing = {"rules": "no complete set received yet; are a scheduler and a publisher running?"}
        stack.callback(self.rules.close)
        REGISTRY.register(self._releases)
        stack.callback(REGISTRY.unregister, self._releases)
        stack.callback(self.keys.close)
        self.rules.on_rejected = DeadLetters(connection, self.name).store_soon
        client = self._client = RegionClient(connection, self.rules, instance=self.instance)
        self.feed.is_complete = client.is_complete
        self.keys.are_rules_complete = client.is_complete
        await stack.enter_async_context(client)
        self._link.applied = client.applied_sequence
        await stack.enter_async_context(self._link.follow(connection))
        keys = await stack.enter_async_context(self.keys.follow(connection))
        client.on_complete = keys.finish
        await client.caught_up()
        await keys.follower.caught_up()
        await self._serve_grpc(stack)
        stack.callback(self.feed.close)
        reporting = self.poll_reports.run(connection)
        await stack.enter_async_context(background_task(reporting, "poll reports"))
        await stack.enter_async_context(background_task(self._store_keys(), "copy of the keys"))

    async def _store_keys(self) -> None:
        """Write the copy of the keys again if an earlier write failed, until cancelled."""
        while True:
            await asyncio.sleep(STORE_EVERY_SECONDS)
            self.keys.retry_store()

    async def _serve_grpc(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        if settings.grpc_port is None:
            return
        if sys.platform == "win32":
            raise Misconfigured("SLUICEWAY_GRPC_PORT needs a system with Unix sockets")
        try:
            from .grpc_stream import grpc_server
        except ImportError as error:
            raise Misconfigured("SLUICEWAY_GRPC_PORT needs grpcio: pip install 'sluiceway[grpc]'") from error
        total = grpc_connections_max(self._file_descriptors)
        connections = Connections(
            total, settings.http_connections_per_address, trusted_proxies(settings.trusted_proxies)
        )
        server = grpc_server(
            self.feed,
            self.keys,
            host=settings.http_host,
            port=settings.grpc_port,
            connections=connections,
            streams_per_key=min(settings.streams_per_key, total // 2),
        )
        self.grpc_port = await stack.enter_async_context(server)

    async def readiness(self) -> dict[str, str]:
        """Return what is not ready: an edge is ready with a whole set, also an old one from disk."""
        if self.rules.is_whole:
            return {}
        missing = self._client.missing if self._client else None
        return {"rules": f"a set was read, but {missing}"} if missing else self.missing

    def warnings(self) -> dict[str, str]:
        """Return why the rules may be old: an edge serves them nevertheless, and stays ready."""
        problem = self._link_problem()
        return {"link": f"stale: {problem}"} if problem else {}

    def is_stale(self) -> bool:
        """Return whether the rules may be old: nothing proves that what publishers write arrives here."""
        return self._link_problem() is not None

    def _link_problem(self) -> str | None:
        if self._connection is None or not self._connection.client.is_connected:
            return "the broker is not connected"
        return self._link.problem

    def _record_applied(self, change: AppliedChange) -> None:
        self._releases.add(change)
        metrics.PROPAGATION_SECONDS.labels(self.rules.region).observe(change.after_ms / 1_000)
