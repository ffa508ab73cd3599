"""The rules that each region holds, and which of its instances have applied them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Self

from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rules_places import find_group, place_of
from sluiceway.messaging.rules_streams import RulesStreams, read_rules_streams
from sluiceway.messaging.stream_history import StreamPlace
from sluiceway.messaging.stream_records import START

from .held_rules import HeldRules
from .instance_reports import InstanceReports, RegionInstance
from .sent_rules import SentRules

log = logging.getLogger(__name__)

#: For reading the reports at the start. They are shown, and decide nothing: a page without them is better
#: than none, if an edge writes faster than they are read.
REPORTS_SECONDS = 5.0


class RegionsView:
    """Follows all streams of rules, and the reports in APPLIED, while the block runs.

    Positions of different streams cannot be compared: each region is in one of them.
    """

    def __init__(self, connection: Connection, features: FeatureView) -> None:
        self._connection = connection
        self._features = features
        #: Called with a region and the features whose rules it received or applied.
        self.on_change: Callable[[str, tuple[FeatureKey, ...]], None] = lambda region, features: None
        self.reports = InstanceReports(connection, lambda *change: self.on_change(*change))
        #: How many streams there are, by the newest answer.
        self._streams = RulesStreams()
        #: One for each stream. The first one finds out how many there are.
        self._sent = [self._new_sent(self._find_first)]
        self._advanced = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._sent[0].__aenter__()
        await self.reports.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.reports.__aexit__(*details)
        for sent in self._sent:  # the first one first: it opens and closes the others
            await sent.__aexit__(*details)

    @property
    def is_current(self) -> bool:
        """Whether the rules of all regions are here, as far as a broker that is still heard has said."""
        return len(self._sent) == self._streams.groups and all(sent.is_current for sent in self._sent)

    async def caught_up(self) -> None:
        """Return once everything that was stored at the start is here; reports are not waited for forever."""
        while not all(sent.follower.is_caught_up for sent in self._sent):
            self._advanced.clear()
            await self._advanced.wait()
        try:
            async with asyncio.timeout(REPORTS_SECONDS):
                await self.reports.caught_up()
        except TimeoutError:
            log.warning("the reports of regions cannot be read to their end; showing those that were read")

    def held(self, region: str) -> Mapping[FeatureKey, HeldRules]:
        """Return the rules that a region was sent."""
        return self._sent_to(region).held(region)

    def instances(self, region: str, now_ms: int) -> list[RegionInstance]:
        """Return the instances that still report from a region, by name."""
        return self.reports.instances(region, now_ms)

    def confirmed(self, region: str, key: FeatureKey | None, now_ms: int) -> bool | None:
        """Return whether every instance has applied the newest rules of a feature (None: of all features).

        None if no instance reports from the region.
        """
        sent = self._sent_to(region)
        held = sent.held(region).get(key) if key else None
        position = sent.newest(region) if key is None else held.position if held else START
        instances = self.instances(region, now_ms)
        return all(instance.has_applied(position) for instance in instances) if instances else None

    def _sent_to(self, region: str) -> SentRules:
        return self._sent[RulesStreams(len(self._sent)).group_of(region)]

    def _new_sent(self, find: Callable[[], Awaitable[StreamPlace]]) -> SentRules:
        return SentRules(self._connection, self._features, find, self._note_rules, self._note_advance)

    async def _find_first(self) -> StreamPlace:
        """Return where the first group is, and follow as many streams as there are now.

        If their number changes, the first stream is created again: that is noticed here.
        """
        self._streams = streams = await read_rules_streams(self._connection.replies)
        for group in range(len(self._sent), streams.groups):
            sent = self._new_sent(partial(find_group, self._connection.replies, group))
            self._sent.append(sent)
            await sent.__aenter__()
        while len(self._sent) > streams.groups:
            await self._sent[-1].__aexit__()
            self._sent.pop()
        self._note_advance()
        return place_of(streams, 0)

    def _note_rules(self, region: str, key: FeatureKey) -> None:
        self.on_change(region, (key,))

    def _note_advance(self) -> None:
        self._advanced.set()
