"""The newest rules of many regions, read at the leaders of the streams that hold them."""

import asyncio
import logging
from collections.abc import Iterable

from nats.errors import Error as NatsError

from ..contracts import subjects
from ..errors import error_text
from ..repeated_logs import RepeatedLogs
from .connection import Connection
from .leader_reads import LeaderReads, StoredHeaders
from .rules_streams import RulesStreams, read_rules_streams
from .shared_request import SharedRequest

log = logging.getLogger(__name__)

#: The number of streams is asked for at most this often, however much is missing.
ASK_EVERY_SECONDS = 1.0


class RulesReads:
    """Reads RULES. The number of its streams is remembered, and asked for again if something is missing.

    A stream has no rules of other groups: with an outdated number a region's rules are missing, never wrong.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._repeated = RepeatedLogs(log)
        self._streams = RulesStreams()
        self._reads = LeaderReads(connection, lambda place: self._streams.of(subjects.parse_region(place)))
        self._number: SharedRequest[None] = SharedRequest(self._ask)
        #: By the loop's clock; not asked yet: None.
        self._asked_at: float | None = None

    async def newest(self, places: Iterable[str]) -> dict[str, StoredHeaders | None]:
        """Return the newest message of each subject, None if there is none.

        Subjects that cannot be read now are left out.
        """
        wanted = list(places)
        streams = self._streams
        found = await self._reads.newest(wanted)
        missing = [place for place in wanted if found.get(place) is None]
        if missing and streams == self._streams:
            await self._number.answer()
        if missing and streams != self._streams:
            found = {place: message for place, message in found.items() if message}
            found |= await self._reads.newest(missing)
        return found

    async def _ask(self) -> None:
        """Read the number of streams, unless that was a moment ago."""
        now = asyncio.get_running_loop().time()
        if self._asked_at is not None and now - self._asked_at < ASK_EVERY_SECONDS:
            return
        self._asked_at = now
        try:
            self._streams = await read_rules_streams(self._connection.replies)
        except (NatsError, TimeoutError) as error:
            text = error_text(error)
            self._repeated.warning(text, "cannot tell in which streams the rules are: %s", text)
