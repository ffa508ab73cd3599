"""The order in which a publisher works, and that it gives way to the loop."""

import pytest

from services.evaluator_publisher.checkpoints import Unproved
from services.evaluator_publisher.fan_out import CHECK_BATCH

from .publisher import ELSEWHERE, FEATURES, IN_A_ROW_MAX, Publisher, a_key


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
