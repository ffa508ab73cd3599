"""A view of the log beside a process that appends to it."""

from pathlib import Path

import pytest

from sluiceway.contracts.events import FeatureEvent
from sluiceway.messaging.connection import connected
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.streams import declare
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker
from tests.support.builders import EVERYONE, Ledger, a_catalogue, a_gate
from tests.support.history import SavedStore
from tests.support.waiting import eventually

COUNT = 20


def an_event(name: str) -> FeatureEvent:
    ledger = Ledger(a_catalogue())
    ledger.save(a_gate(EVERYONE, name=name))
    return ledger.events[-1]


@pytest.mark.parametrize("lost_at", [2, 3])
async def test_an_appended_event_that_the_broker_lost_does_not_stay(broker: Broker, lost_at: int) -> None:
    lost, first, second, third = map(an_event, ("lost", "first", "second", "third"))
    async with connected(BrokerSettings(nats_url=broker.url), "test") as connection:
        await declare(connection.js, 1)
        log = FeatureLog(connection, "/tests")
        async with FeatureView(connection, log) as view:
            await log.append(log.encode(first), 0)
            await log.append(log.encode(second), 0)
            await view.catch_up()
            view.add(
                log.encode(lost), lost_at
            )  # answered, and lost with the broker's power before anybody read it

            await log.append(log.encode(third), 0)

            await eventually(lambda: view.get(third.feature.key), "the next event arrives")
            await eventually(lambda: view.get(lost.feature.key) is None, "the lost event is gone")
            await eventually(lambda: len(view) == 3, "the log is read again")
            assert view.follower.resets == 1


async def test_an_appended_event_that_a_restore_took_back_does_not_stay(
    broker: Broker, tmp_path: Path
) -> None:
    if not (tmp_path / "broker" / "jetstream").exists():
        pytest.skip("the store of a broker in a container cannot be replaced")
    store = SavedStore(broker, tmp_path / "broker")
    first, lost = map(an_event, ("first", "lost"))
    async with connected(BrokerSettings(nats_url=broker.url), "test") as connection:
        await declare(connection.js, 1)
        log = FeatureLog(connection, "/tests")
        await log.append(log.encode(first), 0)
        store.save()
        await eventually(lambda: connection.client.is_connected, "the broker is back")
        async with FeatureView(connection, log) as view:
            await view.caught_up()
            view.follower._broken.set()  # the echo of the next event does not arrive
            view.add(log.encode(lost), await log.append(log.encode(lost), 0))

            store.restore()

            await eventually(lambda: view.follower.resets == 1, "the log is read again")
            await view.catch_up()
            assert [entry.key for entry in view] == [first.feature.key]


async def test_events_of_ones_own_do_not_make_a_view_read_the_log_again(broker: Broker) -> None:
    events = [an_event(f"gate{n}") for n in range(COUNT)]
    async with connected(BrokerSettings(nats_url=broker.url), "test") as connection:
        await declare(connection.js, 1)
        log = FeatureLog(connection, "/tests")
        async with FeatureView(connection, log) as view:
            await view.caught_up()

            for event in map(log.encode, events):
                with view.appending(event):
                    sequence = await log.append(event, 0)
                view.add(event, sequence)
            await view.catch_up()

            assert len(view) == COUNT
            assert view.follower.resets == 0
