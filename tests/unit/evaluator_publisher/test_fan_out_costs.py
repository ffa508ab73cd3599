"""What one event costs the publisher: most of it once, however many regions there are."""

import asyncio
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from services.evaluator_publisher import event_documents
from services.evaluator_publisher.checkpoints import Checkpoints
from services.evaluator_publisher.fan_out import FanOut
from services.evaluator_publisher.grouped_regions import GroupedRegions, RegionGroup
from services.evaluator_publisher.publishable_rules import PublishableRules
from sluiceway.contracts import subjects
from sluiceway.messaging import rule_writes
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.checkpoint_store import CheckpointStore
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_log import FeatureLog, headers_of
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.publishing import begin_headers
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rules_streams import RulesStreams
from sluiceway.messaging.stream_records import Record
from sluiceway.pipelines.projection import project
from tests.support.answering_client import AnsweringClient, stored
from tests.support.builders import EVERYONE, NOW, Ledger, a_gate, a_region

REGIONS = 100
KINDS = ("development", "production")


def place(number: int) -> str:
    return subjects.rule(f"r{number}", a_gate(EVERYONE).key)


class Publisher:
    """A publisher over so many streams that follows nothing; every write is stored."""

    def __init__(self, streams: RulesStreams) -> None:
        self.client = AnsweringClient(lambda _: stored(1))
        connection = Connection(self.client)
        log, catalogue = FeatureLog(connection, "/tests"), CatalogueView(connection)
        self.features = FeatureView(connection, log)
        for number in range(REGIONS):
            region = a_region(f"r{number}", KINDS[number % len(KINDS)])
            place = subjects.catalogue("region", region.name)
            catalogue._on_record(Record(place, number + 1, 0, region.to_json(), {}))
        publishable = PublishableRules(
            self.features,
            log,
            DeadLetters(connection, "tests"),
            lambda: catalogue.catalogue().regions.values(),
        )
        regions = GroupedRegions(catalogue, streams)

        def fan_out(group: RegionGroup) -> FanOut:
            rules, store = RuleStore(connection, group.number), CheckpointStore(connection, group.number)
            checkpoints = Checkpoints(store, self.features, rules, group)
            return FanOut(self.features, catalogue, rules, publishable, lambda: NOW, checkpoints, group)

        self.fan_outs = [fan_out(RegionGroup(regions, number)) for number in range(streams.groups)]

    async def publish(self) -> None:
        ledger = Ledger()
        ledger.save(a_gate(EVERYONE))
        event = ledger.events[-1]
        record = Record(
            subjects.feature(event.feature.key), 1, 0, event.to_json(), headers_of(event, "/tests")
        )
        self.features._on_record(record)
        await asyncio.gather(*(fan_out._publish(event.feature.key, None) for fan_out in self.fan_outs))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count how often an event is asked for, and projected, and its headers are encoded."""
    counts = {"read": 0, "projected": 0, "encoded": 0}

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return call(*args, **kwargs)

        return count

    read: Any = vars(FeatureEntry)["event"]
    monkeypatch.setattr(FeatureEntry, "event", property(counting("read", read.fget)))
    monkeypatch.setattr(event_documents, "project", counting("projected", project))
    rule_writes._common_headers.cache_clear()
    monkeypatch.setattr(rule_writes, "begin_headers", counting("encoded", begin_headers))
    return counts


@pytest.mark.parametrize("groups", [1, 16])
async def test_an_event_is_projected_for_each_kind_of_region_and_written_together_to_each_stream(
    counted: dict[str, int], groups: int
) -> None:
    streams = RulesStreams(groups)
    publisher = Publisher(streams)

    await publisher.publish()

    written = [[message.subject for message in write] for write in publisher.client.writes]
    assert sorted(chain(*written)) == sorted(map(place, range(REGIONS)))
    regions = [{streams.of(subjects.parse_region(each)) for each in write} for write in written]
    assert [len(names) for names in regions] == [1] * groups
    assert counted["projected"] == len(KINDS)
    assert counted["encoded"] == 1
    assert counted["read"] < 8 + 2 * groups
    assert len(publisher.client.subscribed) == 1
