"""Gives new regions a place in the streams of rules, if several streams hold them."""

import asyncio
import logging

from nats.errors import Error as NatsError

from sluiceway.errors import error_text
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.rules_declaration import RulesDeclaration
from sluiceway.messaging.rules_streams import STREAMS_MAX
from sluiceway.repeated_logs import RepeatedLogs

log = logging.getLogger(__name__)

#: The streams are looked at this often, and immediately after each change of the catalogue.
CHECK_EVERY_SECONDS = 10.0
#: The same after a change of a stream, which another scheduler may have undone.
CHECK_AGAIN_SECONDS = 1.0
RETRY_SECONDS = 0.5
#: Above so many regions in a stream, what a broker looks through for each event is most of its work.
REGIONS_OF_STREAM = 300
#: So many are advised; a power of two, as is the number of streams.
REGIONS_ADVISED = 64


class RulesRegions:
    """Lists each region in its stream. Until then nobody can publish there."""

    name = "regions of the streams of rules"

    def __init__(self, declaration: RulesDeclaration, catalogue: CatalogueView) -> None:
        self._declaration = declaration
        self._catalogue = catalogue
        self._is_advised = False
        self._repeated = RepeatedLogs(log)
        self._changed = asyncio.Event()

    def wake(self, kind: str) -> None:
        """Look now if a document of this kind in the catalogue may be a new region."""
        if kind == "region":
            self._changed.set()

    async def run(self) -> None:
        """Keep the streams complete until cancelled."""
        while True:
            self._changed.clear()
            wait = await self._seconds_to_next()
            self._advise()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _seconds_to_next(self) -> float:
        """Complete the streams once; return when to look again."""
        try:
            return CHECK_AGAIN_SECONDS if await self._declaration.complete() else CHECK_EVERY_SECONDS
        except (NatsError, TimeoutError) as error:
            text = error_text(error)
            self._repeated.warning(text, "cannot add regions to the streams of rules, trying again: %s", text)
            return RETRY_SECONDS

    def _advise(self) -> None:
        """Say once that more streams would pay."""
        count, streams = len(self._catalogue.catalogue().regions), self._declaration.streams
        if self._is_advised or streams is None or count <= streams.groups * REGIONS_OF_STREAM:
            return
        self._is_advised = True
        advised = advised_streams(count)
        if advised > streams.groups:
            log.warning(
                "SLUICEWAY_RULES_STREAMS is %s, too few for %s regions: what the broker looks through for "
                "each event is most of its work; set it to %s, as docs/capacity.md describes",
                streams.groups,
                count,
                advised,
            )


def advised_streams(regions: int) -> int:
    """Return how many streams so many regions should have."""
    groups = max(1, -(-regions // REGIONS_ADVISED))
    return min(STREAMS_MAX, 1 << (groups - 1).bit_length())
