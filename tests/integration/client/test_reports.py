"""What a region reports of the rules that it has applied, and when."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sluiceway.client import region_client
from sluiceway.client.region_client import RegionClient
from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport, parse_report
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.rule_document import CompleteSet, RuleDocument, SpecSet
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.streams import APPLIED_HISTORY, declare
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker
from tests.support.waiting import eventually

REGION = "eu"
INSTANCE = "one"
CHANGES = 12


class Region:
    """A region, its publisher, and the reports that it has sent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.rules = RegionRules(REGION)
        self.client = RegionClient(connection, self.rules, instance=INSTANCE)

    async def publish(self, revision: int) -> None:
        document = RuleDocument(
            kind=FeatureKind.GATE, name=f"gate{revision}", revision=revision, event_time_ms=0, specs=SpecSet()
        )
        await self._connection.js.publish(subjects.rule(REGION, document.key), document.to_json())

    async def has_applied(self, revision: int) -> None:
        key = FeatureKey(FeatureKind.GATE, f"gate{revision}")
        await eventually(lambda: self.rules.revision(key) == revision, f"revision {revision} is applied")

    async def reports(self) -> list[AppliedReport]:
        """Return all reports that the region has sent."""
        subject, stream = subjects.applied(REGION, INSTANCE), subjects.APPLIED_STREAM
        last = (await self._connection.js.stream_info(stream)).state.last_seq
        assert last <= APPLIED_HISTORY, "older reports are not kept"
        messages = [await self._connection.js.get_msg(stream, number) for number in range(1, last + 1)]
        return [parse_report(subject, message.data or b"") for message in messages]

    async def reported(self, revision: int) -> list[AppliedReport]:
        async def found() -> list[AppliedReport] | None:
            reports = await self.reports()
            return reports if revision in revisions(reports) else None

        return await eventually(found, f"revision {revision} is reported")


def revisions(reports: list[AppliedReport]) -> list[int]:
    return [change.revision for report in reports for change in report.changes]


@asynccontextmanager
async def a_region(url: str) -> AsyncIterator[Region]:
    async with connected(BrokerSettings(nats_url=url), "tests") as connection:
        await declare(connection.js, 1)
        mark = CompleteSet(region=REGION, epoch=1, log_sequence=1)
        await connection.js.publish(subjects.complete_set(REGION), mark.to_json())
        yield Region(connection)


async def test_what_is_applied_within_a_moment_is_reported_together(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_client, "REPORT_DELAY_SECONDS", 1.0)
    async with a_region(broker.url) as region, region.client as client:
        await client.caught_up()
        await eventually(region.reports, "the region reports that it is there")

        for revision in range(1, CHANGES + 1):
            await region.publish(revision)
            await region.has_applied(revision)
        reports = await region.reported(CHANGES)

        assert revisions(reports) == list(range(1, CHANGES + 1))
        assert len(reports) <= 1 + CHANGES // 3
        assert reports[-1].sequence == CHANGES + 1


async def test_a_client_that_stops_reports_what_is_due(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_client, "REPORT_DELAY_SECONDS", 60.0)
    async with a_region(broker.url) as region:
        async with region.client as client:
            await client.caught_up()
            await eventually(region.reports, "the region reports that it is there")
            await region.publish(1)
            await region.has_applied(1)

        reports = await region.reports()

        assert revisions(reports) == [1]
        assert reports[-1].sequence == 2
