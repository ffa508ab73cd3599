"""A publisher without a broker: what it reads and writes is in memory, and remembers the order."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from services.evaluator_publisher.checkpoints import Unproved
from services.evaluator_publisher.event_documents import ProjectedRules
from services.evaluator_publisher.fan_out import FanOut
from services.evaluator_publisher.grouped_regions import GroupedRegions, RegionGroup
from services.evaluator_publisher.publishable_rules import PublishableRules
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.catalogue_store import StoredDocument
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry, Index
from sluiceway.messaging.rule_table import NOTHING, RuleKey
from sluiceway.messaging.rule_writes import RuleWrite
from sluiceway.messaging.rules_streams import RulesStreams
from sluiceway.messaging.stream_records import Position
from sluiceway.tasks import cancel_and_wait
from tests.support.builders import EVERYONE, NOW, Ledger, a_catalogue, a_gate, a_region

FEATURES = 300
#: Not in the group of `dev`, if there are three.
ELSEWHERE = "staging"
#: Features that may be projected before anything else has a turn.
IN_A_ROW_MAX = 5
TURNS_MAX = 20_000
#: Turns of the loop in which a checkpoint is written, if it is at all.
TICK_TURNS = 20


def a_key(number: int) -> FeatureKey:
    return FeatureKey(FeatureKind.GATE, f"gate{number}")


def an_event(number: int) -> FeatureEvent:
    ledger = Ledger(a_catalogue())
    ledger.save(a_gate(EVERYONE, name=a_key(number).name))
    return ledger.events[-1]


class Log:
    """A log of many gates, read to its end."""

    position = Position("", FEATURES, NOW)

    def __init__(self, count: int) -> None:
        events = map(an_event, range(count))
        self.entries = {
            event.feature.key: FeatureEntry(
                event.feature.key, sequence, headers_of(event, ""), data=event.to_json()
            )
            for sequence, event in enumerate(events, 1)
        }

    def __iter__(self) -> Iterator[FeatureEntry]:
        return iter(tuple(self.entries.values()))

    def with_index(self, index: Index) -> Index:
        return index

    def get(self, key: FeatureKey) -> FeatureEntry | None:
        return self.entries.get(key)

    async def caught_up(self) -> None: ...

    async def catch_up(self) -> None: ...


class Projections(PublishableRules):
    """Projects every feature to nothing, which RULES holds already, and remembers the order."""

    def __init__(self, log: Log) -> None:
        super().__init__(cast(Any, log), cast(Any, log), cast(Any, log), lambda: [a_region()])
        self.order: list[FeatureKey] = []
        #: What happens once so many were projected.
        self.at: dict[int, Callable[[], None]] = {}

    async def of(
        self, entry: FeatureEntry, regions: Iterable[Region], epoch: int
    ) -> dict[str, ProjectedRules]:
        self.order.append(entry.key)
        self.at.get(len(self.order), lambda: None)()
        return {region.name: ProjectedRules(NOTHING, None) for region in regions}


class Rules:
    """RULES, in which nothing differs from what is projected."""

    stream = "KV_RULES"

    def __init__(self) -> None:
        self.epoch = 0
        self.marked: list[str] = []
        self.has_read_own_writes = True
        #: Features of which another publisher has written something else.
        self.differing: set[FeatureKey] = set()
        self.written: list[FeatureKey] = []
        self.error: Exception | None = None
        #: Regions in which there are rules.
        self.regions: set[str] = set()

    async def caught_up(self) -> None: ...

    async def catch_up(self) -> None: ...

    async def read_marks(self) -> None: ...

    def begin_epoch(self, now_ms: int) -> None:
        self.epoch += 1

    def regions_with_rules(self) -> set[str]:
        return self.regions

    def keys_with_rules(self, region: str | None = None) -> tuple[RuleKey, ...]:
        return ()

    def differs(self, write: RuleWrite) -> bool:
        return write.key.feature in self.differing

    def is_newer(self, write: RuleWrite) -> bool:
        return False

    async def write(self, writes: Sequence[RuleWrite]) -> list[RuleWrite]:
        self.written += [write.key.feature for write in writes]
        if self.error and writes:
            raise self.error
        return []

    def is_marked(self, region: str) -> bool:
        return region in self.marked

    async def mark_complete(self, regions: Sequence[str], log_sequence: int) -> None:
        self.marked += regions


class Catalogue:
    """A catalogue of one region."""

    def catalogue(self) -> object:
        return self

    def all(self, kind: str) -> list[StoredDocument]:
        return [StoredDocument(a_region(), 1, "ada", NOW, "ada", NOW)]

    async def caught_up(self) -> None: ...

    async def catch_up(self) -> None: ...


class Checkpoints:
    """What is proved at the start."""

    def __init__(self) -> None:
        self.of_start: Unproved | None = None
        self.saved = 0
        self.left_out: frozenset[FeatureKey] = frozenset()
        self.error: Exception | None = None

    def begin(self) -> None: ...

    async def unproved(self) -> Unproved | None:
        return self.of_start

    async def save(self, unproved: frozenset[FeatureKey]) -> None:
        if self.error:
            raise self.error
        self.saved += 1
        self.left_out = unproved


class Publisher:
    """A publisher to one of several streams whose log is read, and what it did."""

    def __init__(self, features: int = FEATURES, streams: int = 1, group: int = 0) -> None:
        self.log, self.rules, self.checkpoints = Log(features), Rules(), Checkpoints()
        self.projections = Projections(self.log)
        catalogue: Any = Catalogue()
        self.fan_out = FanOut(
            cast(Any, self.log),
            catalogue,
            cast(Any, self.rules),
            self.projections,
            lambda: NOW,
            cast(Any, self.checkpoints),
            RegionGroup(GroupedRegions(catalogue, RulesStreams(streams)), group),
        )

    @property
    def order(self) -> list[FeatureKey]:
        return self.projections.order

    async def run(self) -> list[int]:
        """Publish until there is nothing to do; return how many features were projected in each turn."""
        task = asyncio.create_task(self.fan_out.publish())
        in_turns: list[int] = []
        while not (self.rules.marked and self.fan_out.is_idle):
            before = len(self.order)
            await asyncio.sleep(0)
            in_turns.append(len(self.order) - before)
            assert len(in_turns) < TURNS_MAX
        await cancel_and_wait(task)
        return in_turns

    async def ticks(self) -> None:
        """Let it be time for a checkpoint, and run for a while."""
        tasks = [
            asyncio.create_task(self.fan_out.save_checkpoints()),
            asyncio.create_task(self.fan_out.publish()),
        ]
        for _ in range(TICK_TURNS):
            await asyncio.sleep(0)
        for task in tasks:
            await cancel_and_wait(task)


async def a_started_publisher(features: int) -> Publisher:
    """Return a publisher of which a checkpoint has proved everything at the start."""
    publisher = Publisher(features)
    publisher.checkpoints.of_start = Unproved(frozenset(), frozenset())
    publisher.fan_out.check_unproved()
    await publisher.run()
    return publisher
