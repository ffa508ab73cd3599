"""Publishes to all streams of rules, each on its own: what delays one stream delays no other.

How many there are is looked at from time to time: if it has changed, all streams are new. They are published
to from the start then, without a restart of the process.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Self

from nats.errors import Error as NatsError

from sluiceway.backoff import Backoff
from sluiceway.clock import Clock
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.errors import error_text
from sluiceway.messaging.catalogue_store import CatalogueView, StoredDocument
from sluiceway.messaging.checkpoint_store import CheckpointStore
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rules_streams import RulesStreams, read_rules_streams
from sluiceway.pipelines.message_limits import MESSAGE_BYTES_MAX
from sluiceway.repeated_logs import RepeatedLogs
from sluiceway.service import background_task
from sluiceway.tasks import run_together

from . import metrics
from .checkpoints import Checkpoints
from .fan_out import RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, FanOut
from .grouped_regions import GroupedRegions, RegionGroup
from .heartbeats import Heartbeats, PublishedGroup
from .publishable_rules import PublishableRules

log = logging.getLogger(__name__)

#: The number of streams is looked at this often.
LOOK_AT_STREAMS_SECONDS = 0.5


class RulesPublisher:
    """Runs a `FanOut` for each stream while the block runs."""

    def __init__(
        self,
        connection: Connection,
        features: FeatureView,
        catalogue: CatalogueView,
        publishable: PublishableRules,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._features = features
        self._catalogue = catalogue
        self._publishable = publishable
        self._clock = clock
        self._stack = AsyncExitStack()
        self._stores: tuple[RuleStore, ...] = ()
        self._fan_outs: tuple[FanOut, ...] = ()
        self._are_read = asyncio.Event()
        self._repeated = RepeatedLogs(log)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(background_task(self._run(), "rules publisher"))
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._stack.aclose()

    @property
    def is_current(self) -> bool:
        """Whether all streams were read to their ends."""
        return self._are_read.is_set() and all(store.is_current for store in self._stores)

    async def caught_up(self) -> None:
        """Return once all streams were read."""
        await self._are_read.wait()

    @property
    def message_bytes_max(self) -> int:
        """The bytes of a message that all streams take."""
        return min((store.message_bytes_max for store in self._stores), default=MESSAGE_BYTES_MAX)

    def feature_changed(self, entry: FeatureEntry) -> None:
        """Publish a new event to every stream."""
        for fan_out in self._fan_outs:
            fan_out.feature_changed(entry)

    def catalogue_changed(self, kind: str, id_: str, stored: StoredDocument | None) -> None:
        """Publish to the stream of a region that has changed, or delete the rules of a deleted one."""
        for fan_out in self._fan_outs:
            fan_out.catalogue_changed(kind, id_, stored)

    def check(self, keys: Iterable[FeatureKey]) -> None:
        """Check these features in every region."""
        features = tuple(keys)
        for fan_out in self._fan_outs:
            fan_out.check(features)

    def check_all(self) -> None:
        """Check every feature in every region, after the catalogue has gone back."""
        for fan_out in self._fan_outs:
            fan_out.check_all()

    def start_over(self) -> None:
        """Check every feature in every region, after the log has gone back."""
        self._publishable.forget()
        self.check_all()

    def renew_marks(self) -> None:
        """Mark every region's set again."""
        for fan_out in self._fan_outs:
            fan_out.renew_marks()

    async def _run(self) -> None:
        streams = await self._read_streams()
        while True:
            async with background_task(self._publish(streams), "publish rules"):
                known, streams = streams, await self._changed(streams)
            log.warning(
                "rules are in %s streams now, not in %s: publishing everything", streams.groups, known.groups
            )

    async def _read_streams(self) -> RulesStreams:
        """Return how the rules are spread, once a scheduler has declared it."""
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS)
        while True:
            if streams := await self._read_now():
                return streams
            await asyncio.sleep(backoff.next_seconds())

    async def _changed(self, known: RulesStreams) -> RulesStreams:
        """Return how the rules are spread, once that is not as it was."""
        while True:
            await asyncio.sleep(LOOK_AT_STREAMS_SECONDS)
            if (streams := await self._read_now()) and streams != known:
                return streams

    async def _read_now(self) -> RulesStreams | None:
        try:
            return await read_rules_streams(self._connection.replies)
        except (NatsError, TimeoutError) as error:
            text = error_text(error)
            self._repeated.info(text, "cannot tell the streams of rules, trying again: %s", text)
            return None

    async def _publish(self, streams: RulesStreams) -> None:
        """Publish to these streams until cancelled."""
        regions = GroupedRegions(self._catalogue, streams)
        groups = [RegionGroup(regions, group) for group in range(streams.groups)]
        async with AsyncExitStack() as stack:
            self._stores = tuple(map(self._rule_store, groups))
            for store in self._stores:
                await stack.enter_async_context(store)
            pairs = list(zip(self._stores, map(self._fan_out, self._stores, groups), strict=True))
            self._fan_outs = tuple(fan_out for _, fan_out in pairs)
            stack.callback(self._close)
            publishing = (self._publish_to(store, fan_out) for store, fan_out in pairs)
            heartbeats = Heartbeats(
                self._connection, tuple(map(PublishedGroup, groups, self._stores)), self._are_views_current
            )
            await run_together(self._read_all(), heartbeats.run(), *publishing)

    def _are_views_current(self) -> bool:
        return self._features.is_current and self._catalogue.is_current

    async def _read_all(self) -> None:
        for store in self._stores:
            await store.caught_up()
        self._are_read.set()

    def _close(self) -> None:
        self._are_read.clear()
        self._fan_outs = ()

    def _rule_store(self, group: RegionGroup) -> RuleStore:
        store = RuleStore(self._connection, group.number, group.streams)
        store.on_region = partial(_show_newest, store.newest)
        return store

    def _fan_out(self, rules: RuleStore, group: RegionGroup) -> FanOut:
        store = CheckpointStore(self._connection, group.number)
        checkpoints = Checkpoints(store, self._features, rules, group)
        return FanOut(
            self._features, self._catalogue, rules, self._publishable, self._clock, checkpoints, group
        )

    async def _publish_to(self, rules: RuleStore, fan_out: FanOut) -> None:
        """Publish to one stream until cancelled; what it holds is read first."""
        await rules.caught_up()
        rules.on_foreign_write = fan_out.rules_overwritten
        rules.on_other_write = fan_out.rules_written
        rules.on_foreign_mark = fan_out.mark_again
        rules.on_unread_mark = fan_out.read_marks
        rules.on_reset = fan_out.check_all
        await fan_out.run()


def _show_newest(newest: Mapping[str, int], region: str) -> None:
    """Let each scrape look up the newest sequence of a region."""
    metrics.PUBLISHED_REVISION.labels(region).set_function(lambda: newest.get(region, 0))
