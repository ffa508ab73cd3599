"""A region of a stream that has no place for it yet delays no other region."""

import asyncio

import pytest

from services.evaluator_publisher.fan_out import UNHEARD_MAX
from sluiceway.errors import Unavailable
from sluiceway.messaging.publishing import NoStream
from sluiceway.tasks import cancel_and_wait

from .publisher import Publisher, a_started_publisher

FEATURES = 2 * UNHEARD_MAX
#: Of the loop: enough to try everything once, long before the pause is over.
TURNS = 3 * FEATURES


async def changed(error: Exception) -> Publisher:
    """Return a publisher that has tried once to publish changes of all features."""
    publisher = await a_started_publisher(FEATURES)
    for entry in publisher.log:
        publisher.rules.differing.add(entry.key)
        publisher.fan_out.feature_changed(entry)
    publisher.rules.error = error
    publishing = asyncio.create_task(publisher.fan_out.publish())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    await cancel_and_wait(publishing)
    return publisher


def no_place(*, is_partial: bool) -> NoStream:
    error = NoStream("no stream stores it")
    error.is_partial = is_partial
    return error


async def test_features_that_other_regions_take_are_all_written_before_there_is_a_pause() -> None:
    publisher = await changed(no_place(is_partial=True))

    assert publisher.rules.written == list(publisher.log.entries)
    assert not publisher.fan_out.is_idle


async def test_after_the_pause_they_are_tried_again_until_nothing_is_left() -> None:
    publisher = await changed(no_place(is_partial=True))
    publisher.rules.written.clear()
    publisher.rules.error = None

    await publisher.run()

    assert publisher.rules.written == list(publisher.log.entries)


@pytest.mark.parametrize(
    ("error", "tried"), [(no_place(is_partial=False), UNHEARD_MAX), (Unavailable("away"), 1)]
)
async def test_without_a_stream_or_a_broker_there_is_a_pause_soon(error: Exception, tried: int) -> None:
    publisher = await changed(error)

    assert len(publisher.rules.written) == tried
