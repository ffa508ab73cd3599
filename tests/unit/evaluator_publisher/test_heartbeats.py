"""Heartbeats say only what a publisher knows."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from services.evaluator_publisher.grouped_regions import StoredRegion
from services.evaluator_publisher.heartbeats import SLICE, Heartbeats, PublishedGroup
from sluiceway.contracts.heartbeats import Heartbeat
from sluiceway.messaging.message_size import OutgoingMessage
from tests.support.builders import a_region


class Client:
    """A connection that remembers what was published."""

    def __init__(self) -> None:
        self.is_connected = True
        self.sent: dict[str, int] = {}
        self.messages = 0

    async def publish_all(self, messages: Sequence[OutgoingMessage]) -> None:
        for message in messages:
            region = message.subject.removeprefix("sluiceway.heartbeats.")
            self.sent[region] = Heartbeat.model_validate_json(message.data).sequence
        self.messages += len(messages)


class Connected:
    def __init__(self) -> None:
        self.client = Client()


class Group:
    """Regions, and what is known of their stream."""

    def __init__(self, *names: str, **newest: int) -> None:
        self._regions = [StoredRegion(a_region(name), 1) for name in names]
        self.newest = newest
        self.is_current = True

    def regions(self) -> list[StoredRegion]:
        return self._regions


class Publisher:
    def __init__(self, *groups: Group) -> None:
        self.is_current = True
        connected = Connected()
        self.client = connected.client
        published = [PublishedGroup(cast(Any, group), cast(Any, group)) for group in groups]
        self.heartbeats = Heartbeats(cast(Any, connected), published, lambda: self.is_current)


async def test_each_region_is_told_the_newest_message_of_its_own() -> None:
    publisher = Publisher(Group("dev", "eu", dev=7), Group("us", us=9, dev=1))

    await publisher.heartbeats.send()

    assert publisher.client.sent == {"dev": 7, "eu": 0, "us": 9}
    assert publisher.client.messages == 3


async def test_a_stream_that_is_not_current_silences_its_own_regions_alone() -> None:
    stalled = Group("dev", dev=7)
    stalled.is_current = False
    publisher = Publisher(stalled, Group("us", us=9))

    await publisher.heartbeats.send()

    assert publisher.client.sent == {"us": 9}


@pytest.mark.parametrize("lacking", ["log", "connection"])
async def test_a_publisher_that_knows_nothing_new_says_nothing(lacking: str) -> None:
    publisher = Publisher(Group("dev", dev=7))
    publisher.is_current = lacking != "log"
    publisher.client.is_connected = lacking != "connection"

    await publisher.heartbeats.send()

    assert not publisher.client.sent


async def test_others_have_turns_while_many_heartbeats_are_sent() -> None:
    publisher = Publisher(Group(*(f"region{number}" for number in range(10 * SLICE))))
    sending = asyncio.create_task(publisher.heartbeats.send())
    before = 0
    while not sending.done():
        await asyncio.sleep(0)

        assert publisher.client.messages - before <= SLICE
        before = publisher.client.messages
    assert before == 10 * SLICE
