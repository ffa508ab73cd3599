"""Heartbeats to each region: its edges know by them that nothing is kept from them.

They are not stored: however many regions there are, the broker writes nothing to its disk for them, and no
reader of RULES sees them. Every replica sends them, so that no region waits if one dies.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nats.errors import Error as NatsError

from sluiceway.contracts import subjects
from sluiceway.contracts.heartbeats import HEARTBEAT_EVERY_SECONDS, Heartbeat
from sluiceway.errors import error_text
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.message_size import OutgoingMessage
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.repeated_logs import RepeatedLogs

from .grouped_regions import RegionGroup

log = logging.getLogger(__name__)

#: Heartbeats that are sent with one write.
SLICE = 100


class PublishedGroup(NamedTuple):
    """A group of regions, and the stream that holds their rules."""

    regions: RegionGroup
    rules: RuleStore


class Heartbeats:
    """Sends heartbeats while this publisher is current: otherwise it cannot know what a region lacks."""

    def __init__(
        self, connection: Connection, groups: Sequence[PublishedGroup], is_current: Callable[[], bool]
    ) -> None:
        """`is_current`: whether the log and the catalogue were read to their ends."""
        self._client = connection.client
        self._groups = groups
        self._is_current = is_current
        self._repeated = RepeatedLogs(log)

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            try:
                await self.send()
            except NatsError as error:
                self._repeated.info("send", "cannot send heartbeats, trying again: %s", error_text(error))
            await asyncio.sleep(HEARTBEAT_EVERY_SECONDS)

    async def send(self) -> None:
        """Send one to each region whose stream was read to its end."""
        for group in self._groups:
            regions = [region.name for region, _ in group.regions.regions()]
            for first in range(0, len(regions), SLICE):
                if not (self._client.is_connected and self._is_current() and group.rules.is_current):
                    break  # what is sent while nobody is connected would wait, and be old
                newest = group.rules.newest
                await self._client.publish_all(
                    [
                        OutgoingMessage(
                            subjects.heartbeat(region), Heartbeat(sequence=newest.get(region, 0)).to_json()
                        )
                        for region in regions[first : first + SLICE]
                    ]
                )
                await asyncio.sleep(0)
