"""When a publisher that has started has checked everything: it then marks the set of each region again."""

from collections.abc import Iterable

from nats.js.errors import NotFoundError

from sluiceway.contracts import subjects
from sluiceway.messaging.connection import Connection
from tests.support.waiting import eventually

#: The first start writes rules for everything.
MARKED_SECONDS = 900.0


class CompleteSets:
    """The marks of some regions."""

    def __init__(self, connection: Connection, regions: Iterable[str]) -> None:
        self._js = connection.js
        self._regions = tuple(regions)

    async def newest(self) -> int:
        """Return the oldest sequence among the newest marks; 0 if a region has none."""
        return min([await self._mark(region) for region in self._regions])

    async def renewed(self, after: int) -> None:
        """Wait until every region has a mark newer than the sequence `after`."""

        async def look() -> bool:
            return await self.newest() > after

        await eventually(look, "all sets are marked as complete again", MARKED_SECONDS)

    async def _mark(self, region: str) -> int:
        try:
            message = await self._js.get_last_msg(subjects.RULES_STREAM, subjects.complete_set(region))
        except NotFoundError:
            return 0
        return message.seq or 0
