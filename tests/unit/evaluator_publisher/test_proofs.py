"""When a publisher writes a checkpoint, and what of RULES it leaves out of it."""

import pytest

from services.evaluator_publisher.checkpoints import Unproved
from sluiceway.errors import MessageTooLarge, Unavailable
from sluiceway.messaging.rule_table import RuleKey

from .publisher import FEATURES, Catalogue, Publisher, a_key, a_started_publisher


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
