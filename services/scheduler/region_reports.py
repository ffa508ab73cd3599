"""The newest report of every instance of a region, read from APPLIED when a phase asks for it.

Nothing is followed: edges write reports as fast as they like, under as many names as they like. So only the
regions of a phase that is due are read, each within bounds, and each once for all phases that ask meanwhile.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from nats.errors import Error as NatsError

from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import parse_report
from sluiceway.errors import Unavailable, error_text
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.jetstream_api import API, request_jetstream
from sluiceway.messaging.last_records import ReadBounds, TooManyRecords, read_last_records
from sluiceway.messaging.shared_request import SharedRequest
from sluiceway.messaging.stream_records import Record
from sluiceway.messaging.streams import APPLIED_BITS_PER_SECOND
from sluiceway.repeated_logs import RepeatedLogs
from sluiceway.tasks import cancel_and_wait

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

#: Instances of a region whose reports are read. If more report, nobody knows whether all have applied
#: something, so the region holds its phases.
INSTANCES_MAX = 10_000
#: For reading the reports of one region: 10 MB of them, at the rate of a reader.
READ_SECONDS = 5.0
BOUNDS = ReadBounds(INSTANCES_MAX, READ_SECONDS, APPLIED_BITS_PER_SECOND)
#: Regions read at the same time.
CONCURRENCY_MAX = 8
#: What was read is used again for this time, or for as long as the reading took: a region is read for half
#: of the time at most, however many phases ask.
REUSED_SECONDS = 0.1
#: Every instance reports within this time; they do so every 20 s.
REPORTED_WITHIN_SECONDS = 30.0
#: From this part of its size on, APPLIED counts as full.
FULL = 0.9
PUSHED_OUT = "the stream of reports is full: nobody knows which instances have not applied the rules"
UNKNOWN = "the stream of reports cannot be read"


class ReportedPosition(NamedTuple):
    """How far an instance has applied RULES, and when it reported that."""

    sequence: int
    #: When the broker stored the message there; None if an older version reported.
    stored_ms: int | None
    time_ms: int


class TooManyInstances(NamedTuple):
    """More instances of a region report than are read."""


class Unreadable(NamedTuple):
    """The reports of a region were not read to their end."""


#: What is known of a region: the positions of its instances by name, or why they are not known.
Reports = Mapping[str, ReportedPosition] | TooManyInstances | Unreadable


class ReportsSource(Protocol):
    """Where the reports of a region are read."""

    async def of_regions(self, regions: Sequence[str]) -> list[Reports]:
        """Return the newest reports of each of these regions."""

    async def incomplete(self, now_ms: int) -> str | None:
        """Return why reports of living instances may be missing in any region; None if they are not."""


class RegionReports:
    """Reads the reports of regions at the broker; what is under way ends with the block."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        info = f"{API}.STREAM.INFO.{subjects.APPLIED_STREAM}"
        self._info = SharedRequest(lambda: request_jetstream(connection.client, info))
        self._readings: dict[str, asyncio.Task[Reports]] = {}
        self._places = asyncio.Semaphore(CONCURRENCY_MAX)

    async def __aenter__(self) -> "RegionReports":
        return self

    async def __aexit__(self, *_: object) -> None:
        for reading in list(self._readings.values()):
            await cancel_and_wait(reading)

    async def of_regions(self, regions: Sequence[str]) -> list[Reports]:
        """Return the newest reports of each region; those who ask at the same time share one reading."""
        readings = [self._reading(region) for region in regions]
        return [await asyncio.shield(reading) for reading in readings]

    def _reading(self, region: str) -> asyncio.Task[Reports]:
        """Return the reading of a region that is under way, or begin one."""
        reading = self._readings.get(region)
        if reading is None:
            reading = asyncio.create_task(self._read_and_keep(region), name=f"reports of {region}")
            self._readings[region] = reading
        return reading

    async def _read_and_keep(self, region: str) -> Reports:
        """Read a region, and forget it after a while."""
        loop = asyncio.get_running_loop()
        try:
            async with self._places:
                started_at = loop.time()
                reports = await self._read(region)
        except BaseException:
            del self._readings[region]
            raise
        loop.call_later(max(REUSED_SECONDS, loop.time() - started_at), self._readings.pop, region, None)
        return reports

    async def _read(self, region: str) -> Reports:
        positions: dict[str, ReportedPosition] = {}

        def on_record(record: Record) -> None:
            try:
                report = parse_report(record.subject, record.data)
            except ValueError as error:
                repeated.warning("report", "%s is not a valid report, ignored: %s", record.subject, error)
                return
            positions[report.instance] = ReportedPosition(report.sequence, report.stored_ms, record.time_ms)

        try:
            await read_last_records(
                self._connection, subjects.APPLIED_STREAM, subjects.applied_in(region), on_record, BOUNDS
            )
        except TooManyRecords:
            return TooManyInstances()
        except Unavailable as error:
            repeated.warning("unreadable", "region %s holds its phases: %s", region, error)
            return Unreadable()
        return positions

    async def incomplete(self, now_ms: int) -> str | None:
        """Return why reports of living instances may be missing in any region; None if they are not.

        All who ask at the same moment cost one request.
        """
        try:
            info = await self._info.answer()
        except (NatsError, TimeoutError) as error:
            repeated.warning("info", "cannot look at %s: %s", subjects.APPLIED_STREAM, error_text(error))
            return UNKNOWN
        size, limit = info["state"]["bytes"], info["config"]["max_bytes"]
        if limit <= 0 or size < FULL * limit:
            return None
        oldest_ms = datetime.fromisoformat(info["state"]["first_ts"]).timestamp() * 1_000
        return PUSHED_OUT if now_ms - oldest_ms < REPORTED_WITHIN_SECONDS * 1_000 else None
