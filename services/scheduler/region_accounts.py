"""Keeps the copies of rules and keys in the accounts of regions, if regions have accounts of their own."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from sluiceway.contracts import subjects
from sluiceway.errors import Unavailable, error_text
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.history_loss import settled
from sluiceway.messaging.jetstream_api import API, request_jetstream
from sluiceway.messaging.region_documents import RegionDocuments, region_documents
from sluiceway.messaging.region_streams import COPIES, StreamEnd, copied_from, copy_config, origin_of
from sluiceway.messaging.rules_streams import read_rules_streams
from sluiceway.repeated_logs import RepeatedLogs

log = logging.getLogger(__name__)

#: The copies are looked at this often; documents are written after each change of the catalogue.
CHECK_EVERY_SECONDS = 5.0
RETRY_SECONDS = 0.5
#: Times of the same message may differ by less than this, by how they are rounded.
SAME_TIME = timedelta(milliseconds=1)


class _Seen(NamedTuple):
    """What copies depend on: another value means to look at them immediately."""

    regions: frozenset[str]
    #: How often REGIONS was read from its start.
    resets: int


class RegionAccounts:
    """Creates the copies of each region, fills REGIONS, and replaces copies whose original went back."""

    name = "accounts of regions"

    def __init__(
        self, connection: Connection, catalogue: CatalogueView, documents: RegionDocuments, replicas: int
    ) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._documents = documents
        self._replicas = replicas
        self._changed = asyncio.Event()
        self._repeated = RepeatedLogs(log)
        #: Regions that the log has named, because they have no account.
        self._without_account: set[str] = set()
        #: Regions whose copies could not be looked at: what is written then could hide that an original went
        #: back.
        self._held_back: frozenset[str] = frozenset()
        #: What was known when the copies were looked at, and when that was, by the loop's clock.
        self._seen: _Seen | None = None
        self._checked_at = 0.0

    def wake(self, kind: str) -> None:
        """Look now: the catalogue has changed, whatever kind of document."""
        self._changed.set()

    async def run(self) -> None:
        """Keep everything as it should be until cancelled."""
        while True:
            self._changed.clear()
            wait = CHECK_EVERY_SECONDS
            try:
                await self.update()
            except (Unavailable, NatsError, TimeoutError, LookupError) as error:
                text = error_text(error)
                self._repeated.warning(text, "cannot update the accounts of regions, trying again: %s", text)
                wait = RETRY_SECONDS
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def update(self) -> None:
        """Bring copies and documents up to date once.

        Copies come first: what is written then could hide that an original went back.
        """
        await self._catalogue.catch_up()
        catalogue = self._catalogue.catalogue()
        seen = _Seen(frozenset(catalogue.regions), self._documents.follower.resets)
        now = asyncio.get_running_loop().time()
        if seen != self._seen or now - self._checked_at >= CHECK_EVERY_SECONDS:
            self._held_back = await self._check(catalogue.regions)
            self._seen, self._checked_at = seen, now
        await self._documents.write(region_documents(catalogue), but_of=self._held_back)

    async def _check(self, regions: Iterable[str]) -> frozenset[str]:
        """Create the copies that are missing, and replace those whose original went back or is another.

        Returns the regions whose accounts do not work, for which this is not done.
        """
        rules = await read_rules_streams(self._connection.replies)
        names = (*rules.names, subjects.REGIONS_STREAM)
        origins = {name: await self._info(f"{API}.STREAM.INFO.{name}") for name in names}
        failed = set()
        for region in regions:
            try:
                for copy in COPIES:
                    await self._keep(region, copy, origins[origin_of(copy, region, rules)])
                self._without_account.discard(region)
            except NoRespondersError:
                self._warn_once(region)
            except (NatsError, TimeoutError, LookupError) as error:
                failed.add(region)
                self._repeated.warning(
                    (region, type(error).__name__),
                    "cannot update the account of %s; its keys stay as they are, trying again: %s",
                    region,
                    error_text(error),
                )
        return frozenset(failed)

    async def _keep(self, region: str, copy: str, origin: dict[str, Any]) -> None:
        name = origin["config"]["name"]
        try:
            info = await self._info(subjects.region_api(region, f"STREAM.INFO.{copy}"))
        except NotFoundError:
            await self._create(region, copy, name)
            return
        if copied_from(info) != name:
            log.warning("copying %s into the account of %s: it has the region's rules now", name, region)
        elif await self._went_back(StreamEnd.of(info), StreamEnd.of(origin), name):
            log.error("%s went back; copying it into the account of %s again", name, region)
        else:
            return
        await self._info(subjects.region_api(region, f"STREAM.DELETE.{copy}"))
        await self._create(region, copy, name)

    async def _went_back(self, copied: StreamEnd, original: StreamEnd, name: str) -> bool:
        """Return whether the original is behind the copy, or holds another message where the copy ends."""
        if copied.is_of_another_history(original):
            # It was read before the copy, which may have got what has been written since.
            def is_behind(info: StreamInfo) -> bool:
                return copied.is_of_another_history(StreamEnd.of_original(info))

            return is_behind(await settled(lambda: self._connection.js.stream_info(name), is_behind))
        if copied.time is None or not copied.sequence:
            return False
        try:
            message = await self._connection.js.get_msg(name, copied.sequence)
        except NotFoundError:  # a newer message of its subject has replaced it
            return False
        return message.time is not None and abs(message.time - copied.time) >= SAME_TIME

    async def _create(self, region: str, copy: str, origin: str) -> None:
        log.info("creating the stream %s in the account of %s", copy, region)
        config = copy_config(copy, origin, region, self._replicas)
        await self._info(subjects.region_api(region, f"STREAM.CREATE.{copy}"), config)

    async def _info(self, subject: str, body: object = None) -> dict[str, Any]:
        return await request_jetstream(self._connection.client, subject, body)

    def _warn_once(self, region: str) -> None:
        if region not in self._without_account:
            log.warning(
                "the region %s has no account at the broker, so no edge can reach its rules; write the "
                "configuration of the broker again with `sluiceway broker-config`",
                region,
            )
        self._without_account.add(region)
