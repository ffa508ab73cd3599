"""Builds an edge and wires its adapters."""

from contextlib import AsyncExitStack

from prometheus_client import REGISTRY

from sluiceway.client.region_client import RegionClient
from sluiceway.client.region_rules import RegionRules
from sluiceway.client.rule_cache import RuleCache
from sluiceway.contracts.applied_reports import AppliedChange
from sluiceway.errors import Misconfigured
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.service import Service, background_task

from . import metrics
from .collectors import AppliedReleaseCollector
from .http_app import build_http_app
from .key_store import KeyStore
from .ofrep import OfrepRoutes
from .poll_reports import PollReports
from .settings import Settings
from .specs import SpecFeed
from .statsig import StatsigRoutes


class Edge(Service):
    """The running edge of one region: it answers from the first moment, with what the disk held."""

    name = "edge"
    settings: Settings
    #: Where the gRPC stream is served.
    grpc_port: int | None = None

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.instance = settings.instance
        folder = settings.snapshot_dir / settings.instance
        self.rules = RegionRules(settings.region, folder)
        self.rules.on_applied = self._count
        self._releases = AppliedReleaseCollector(self.rules)
        self.keys = KeyStore(settings.region, RuleCache(folder / f"{settings.region}.keys"))
        self.feed = SpecFeed(self.rules)
        self.polls = PollReports(settings.region)
        statsig = StatsigRoutes(self.feed, self.keys, self.polls)
        ofrep = OfrepRoutes(self.rules, self.feed, self.keys, self.is_stale)
        self.pages = build_http_app([*statsig.routes(), *ofrep.routes()])
        metrics.STALE.labels(settings.region).set_function(lambda: float(self.is_stale()))
        metrics.FEATURES.labels(settings.region).set_function(lambda: len(self.rules))
        metrics.APPLIED_REVISION.labels(settings.region).set_function(lambda: self.rules.position.sequence)

    async def start(self, connection: Connection, stack: AsyncExitStack) -> None:
        """Follow the region."""
        self.missing = {"rules": "nothing heard of RULES yet; is a scheduler running?"}
        stack.callback(self.rules.close)
        REGISTRY.register(self._releases)
        stack.callback(REGISTRY.unregister, self._releases)
        stack.callback(self.keys.close)
        self.rules.on_rejected = DeadLetters(connection, self.name).keep_soon
        client = RegionClient(connection, self.rules, instance=self.instance)
        self.feed.is_complete = client.is_complete
        await stack.enter_async_context(client)
        keys = await stack.enter_async_context(self.keys.follow(connection))
        await client.caught_up()
        await keys.follower.caught_up()
        await self._serve_grpc(stack)
        stack.callback(self.feed.close)
        await stack.enter_async_context(background_task(self.polls.report(connection), "report polls"))

    async def _serve_grpc(self, stack: AsyncExitStack) -> None:
        if self.settings.grpc_port is None:
            return
        try:
            from .grpc_stream import grpc_server
        except ImportError as error:
            raise Misconfigured("SLUICEWAY_GRPC_PORT needs grpcio: pip install 'sluiceway[grpc]'") from error
        server = grpc_server(
            self.feed, self.keys.is_authorized, host=self.settings.http_host, port=self.settings.grpc_port
        )
        self.grpc_port = await stack.enter_async_context(server)

    async def readiness(self) -> dict[str, str]:
        """Return what is not ready: an edge is ready as soon as it has rules, from wherever."""
        return {} if len(self.rules) else self.missing

    def is_stale(self) -> bool:
        """Say whether the rules may be old, since the broker is away."""
        return self._connection is None or not self._connection.client.is_connected

    def _count(self, change: AppliedChange) -> None:
        self._releases.note(change)
        metrics.PROPAGATION_SECONDS.labels(self.rules.region).observe(change.after_ms / 1_000)
