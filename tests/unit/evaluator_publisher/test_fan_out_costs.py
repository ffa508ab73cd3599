"""What one event costs the publisher: most of it once, however many regions there are."""

from collections.abc import Callable
from typing import Any

import pytest

from services.evaluator_publisher import publishable_rules
from services.evaluator_publisher.checkpoints import Checkpoints
from services.evaluator_publisher.fan_out import FanOut
from services.evaluator_publisher.publishable_rules import PublishableRules
from sluiceway.contracts import subjects
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.checkpoint_store import CheckpointStore
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_log import FeatureLog, headers_of
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.stream_records import Record
from sluiceway.pipelines.projection import project
from tests.support.answering_client import AnsweringClient, stored
from tests.support.builders import EVERYONE, NOW, Ledger, a_gate, a_region

REGIONS = 100
KINDS = ("development", "production")


class Publisher:
    """A publisher that follows nothing; every write is stored."""

    def __init__(self) -> None:
        self.client = AnsweringClient(lambda _: stored(1))
        connection = Connection(self.client)
        log, catalogue = FeatureLog(connection, "/tests"), CatalogueView(connection)
        self.features, self.rules = FeatureView(connection, log), RuleStore(connection)
        for number in range(REGIONS):
            region = a_region(f"r{number}", KINDS[number % len(KINDS)])
            place = subjects.catalogue("region", region.name)
            catalogue._on_record(Record(place, number + 1, 0, region.to_json(), {}))
        publishable = PublishableRules(self.features, log, DeadLetters(connection, "tests"))
        checkpoints = Checkpoints(CheckpointStore(connection), self.features, catalogue, self.rules)
        self.fan_out = FanOut(self.features, catalogue, self.rules, publishable, lambda: NOW, checkpoints)

    async def publish(self) -> None:
        ledger = Ledger()
        ledger.save(a_gate(EVERYONE))
        event = ledger.events[-1]
        record = Record(
            subjects.feature(event.feature.key), 1, 0, event.to_json(), headers_of(event, "/tests")
        )
        self.features._on_record(record)
        await self.fan_out._publish(event.feature.key, None)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count how often an event is asked for, and projected."""
    counts = {"read": 0, "projected": 0}

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return call(*args, **kwargs)

        return count

    read: Any = vars(FeatureEntry)["event"]
    monkeypatch.setattr(FeatureEntry, "event", property(counting("read", read.fget)))
    monkeypatch.setattr(publishable_rules, "project", counting("projected", project))
    return counts


async def test_an_event_is_projected_for_each_kind_of_region_and_written_together(
    counted: dict[str, int],
) -> None:
    publisher = Publisher()

    await publisher.publish()

    assert [len(write) for write in publisher.client.writes] == [REGIONS]
    assert counted["projected"] == len(KINDS)
    assert counted["read"] < 10
    assert len(publisher.client.subscribed) == 1
