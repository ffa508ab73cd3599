"""The order in which a publisher works, and that it gives way to the loop."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import pytest

from services.evaluator_publisher.checkpoints import Unproved
from services.evaluator_publisher.event_documents import ProjectedRules
from services.evaluator_publisher.fan_out import CHECK_BATCH, FanOut
from services.evaluator_publisher.grouped_regions import GroupedRegions, RegionGroup
from services.evaluator_publisher.publishable_rules import PublishableRules
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.errors import MessageTooLarge, Unavailable
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

    async def write(self, writes: Sequence[RuleWrite]) -> list[RuleWrite]:
        self.written += [write.key.feature for write in writes]
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


async def test_a_check_of_everything_gives_way_to_the_loop() -> None:
    publisher = Publisher()
    publisher.fan_out.check_all()

    in_turns = await publisher.run()

    assert len(publisher.order) == FEATURES
    assert max(in_turns) <= IN_A_ROW_MAX


async def test_many_events_that_are_published_already_give_way_to_the_loop() -> None:
    publisher = Publisher()
    publisher.fan_out.check_all()
    for entry in publisher.log:
        publisher.fan_out.feature_changed(entry)

    in_turns = await publisher.run()

    assert max(in_turns) <= IN_A_ROW_MAX


async def test_a_new_event_comes_before_the_rest_of_a_check() -> None:
    publisher, newest = Publisher(), a_key(FEATURES - 1)
    publisher.fan_out.check_all()
    publisher.projections.at = {
        CHECK_BATCH: lambda: publisher.fan_out.feature_changed(publisher.log.entries[newest])
    }

    await publisher.run()

    assert newest in publisher.order[CHECK_BATCH : 2 * CHECK_BATCH + 1]


async def test_what_a_checkpoint_proves_is_not_projected() -> None:
    publisher = Publisher()
    publisher.checkpoints.of_start = Unproved(frozenset({a_key(3)}), frozenset())
    publisher.fan_out.check_unproved()

    await publisher.run()

    assert publisher.order == [a_key(3)]


async def test_after_a_stream_has_gone_back_no_checkpoint_proves_anything() -> None:
    publisher = Publisher()
    publisher.checkpoints.of_start = Unproved(frozenset(), frozenset())
    publisher.fan_out.check_unproved()
    publisher.fan_out.check_all()

    await publisher.run()

    assert len(publisher.order) == FEATURES


async def test_a_region_that_was_changed_is_checked_for_every_feature() -> None:
    publisher = Publisher()
    publisher.checkpoints.of_start = Unproved(frozenset(), frozenset({"dev"}))
    publisher.fan_out.check_unproved()

    in_turns = await publisher.run()

    assert len(publisher.order) == FEATURES
    assert max(in_turns) <= IN_A_ROW_MAX


async def test_a_feature_that_is_to_be_checked_again_while_it_is_checked_is_checked_again() -> None:
    publisher = Publisher(features=1)
    publisher.projections.at = {1: lambda: publisher.fan_out.check([a_key(0)])}
    publisher.fan_out.check_all()

    await publisher.run()

    assert publisher.order == [a_key(0)] * 2


async def test_a_checkpoint_is_written_once_what_was_written_is_read() -> None:
    publisher = Publisher(features=1)
    publisher.fan_out.check_all()
    publisher.rules.has_read_own_writes = False
    await publisher.run()
    await publisher.ticks()
    assert publisher.checkpoints.saved == 0

    publisher.rules.has_read_own_writes = True
    await publisher.ticks()
    assert publisher.checkpoints.saved == 1


async def test_a_broker_that_is_away_costs_a_checkpoint_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher = Publisher(features=1)
    publisher.fan_out.check_all()
    publisher.checkpoints.error = Unavailable("away")
    await publisher.run()
    await publisher.ticks()

    assert publisher.checkpoints.saved == 0
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


async def test_a_checkpoint_that_is_too_large_is_said_once_and_ends_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher = Publisher(features=1)
    publisher.fan_out.check_all()
    publisher.checkpoints.error = MessageTooLarge("checkpoint", 70_000, 65_536, "max_payload")
    await publisher.run()
    await publisher.ticks()
    await publisher.ticks()
    publisher.fan_out.feature_changed(publisher.log.entries[a_key(0)])
    await publisher.run()

    assert len(publisher.order) == 2
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "70000 bytes" in warnings[0]


async def test_what_is_written_of_features_that_the_log_does_not_hold_is_not_remembered() -> None:
    publisher = Publisher(features=1)
    for number in range(FEATURES):
        publisher.fan_out.rules_written(RuleKey("dev", a_key(number)))
    publisher.fan_out.check_unproved()
    publisher.checkpoints.of_start = Unproved(frozenset(), frozenset())
    await publisher.run()
    await publisher.ticks()

    assert publisher.checkpoints.left_out <= {a_key(0)}
    assert publisher.checkpoints.saved == 1


async def test_what_another_publisher_has_written_is_compared_before_a_checkpoint() -> None:
    publisher = await a_started_publisher(features=5)
    for key in publisher.log.entries:
        publisher.fan_out.rules_written(RuleKey("dev", key))

    await publisher.ticks()

    assert sorted(publisher.order) == sorted(publisher.log.entries)
    assert publisher.checkpoints.saved == 1
    assert publisher.checkpoints.left_out == frozenset()


async def test_what_another_publisher_has_written_otherwise_is_left_out_and_left_alone() -> None:
    publisher = await a_started_publisher(features=3)
    publisher.rules.differing = {a_key(1)}
    publisher.fan_out.rules_written(RuleKey("dev", a_key(1)))

    await publisher.ticks()
    await publisher.ticks()

    assert publisher.checkpoints.left_out == {a_key(1)}
    assert publisher.order == [a_key(1)]
    assert publisher.rules.written == []


async def test_what_differed_is_compared_again_once_a_region_has_changed() -> None:
    publisher = await a_started_publisher(features=3)
    publisher.rules.differing = {a_key(1)}
    publisher.fan_out.rules_written(RuleKey("dev", a_key(1)))
    await publisher.ticks()

    publisher.rules.differing = set()
    publisher.fan_out.catalogue_changed("region", "dev", Catalogue().all("region")[0])
    await publisher.ticks()

    assert publisher.checkpoints.left_out == frozenset()


async def test_a_new_event_comes_before_what_is_compared() -> None:
    publisher, newest = await a_started_publisher(features=6), a_key(5)
    for number in range(5):
        publisher.fan_out.rules_written(RuleKey("dev", a_key(number)))
    publisher.projections.at = {2: lambda: publisher.fan_out.feature_changed(publisher.log.entries[newest])}

    await publisher.ticks()

    assert publisher.order[2] == newest
    assert publisher.checkpoints.left_out == frozenset()
    assert publisher.checkpoints.saved == 1


async def test_a_check_of_everything_keeps_a_short_list_however_many_features_there_are() -> None:
    publisher = Publisher()
    lengths: list[int] = []
    publisher.projections.at = {
        number: lambda: lengths.append(len(publisher.fan_out._to_check)) for number in range(FEATURES)
    }
    publisher.fan_out.check_all()

    await publisher.run()

    assert max(lengths) < CHECK_BATCH
    assert sorted(publisher.order) == sorted(publisher.log.entries)


async def test_a_stream_without_regions_looks_at_no_feature() -> None:
    publisher = Publisher(streams=3, group=1)
    publisher.fan_out.check_all()
    publisher.fan_out.feature_changed(publisher.log.entries[a_key(0)])

    await publisher.ticks()

    assert publisher.order == []
    assert publisher.fan_out.is_idle


async def test_rules_of_the_regions_of_other_streams_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    publisher = Publisher(features=1, streams=3)
    publisher.rules.regions = {"dev", ELSEWHERE}
    publisher.fan_out.check_all()

    await publisher.run()
    publisher.fan_out.catalogue_changed("region", ELSEWHERE, None)

    assert publisher.fan_out.is_idle
    assert caplog.messages == []


async def a_started_publisher(features: int) -> Publisher:
    """Return a publisher of which a checkpoint has proved everything at the start."""
    publisher = Publisher(features)
    publisher.checkpoints.of_start = Unproved(frozenset(), frozenset())
    publisher.fan_out.check_unproved()
    await publisher.run()
    return publisher
