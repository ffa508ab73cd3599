"""Keeps the streams of rules whole: a place for each new region, and the first stream if it is damaged."""

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
#: A first stream that is missing or damaged for so long is declared again: no change of the number takes as
#: long, and a change that another scheduler makes is not disturbed.
REPAIR_AFTER_SECONDS = 60.0
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
        self._damaged_since: float | None = None
        self._repeated = RepeatedLogs(log)
        self._changed = asyncio.Event()

    @property
    def problem(self) -> str | None:
        """Why rules reach no region, or not all; None if they do."""
        return self._declaration.problem

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
            is_changed = await self._declaration.complete()
            await self._repair()
        except (NatsError, TimeoutError) as error:
            text = error_text(error)
            self._repeated.warning(text, "cannot add regions to the streams of rules, trying again: %s", text)
            return RETRY_SECONDS
        return CHECK_AGAIN_SECONDS if is_changed or self._damaged_since else CHECK_EVERY_SECONDS

    async def _repair(self) -> None:
        """Declare the streams again if the first one is missing or damaged for too long."""
        now, problem = asyncio.get_running_loop().time(), self._declaration.problem
        self._damaged_since = (self._damaged_since or now) if problem else None
        if self._damaged_since and now - self._damaged_since >= REPAIR_AFTER_SECONDS:
            log.warning("declaring the streams of rules again: %s", problem)
            self._damaged_since = now
            await self._declaration.declare(None)

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
