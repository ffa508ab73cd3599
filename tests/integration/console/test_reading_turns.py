"""What one caller reads is built for few requests at a time, and keeps nobody else waiting."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from services.console.audit import AuditEntry, AuditQuery
from services.console.reading_turns import REQUESTS_MAX
from sluiceway import turns
from sluiceway.contracts.alerts import AnsweredAlert
from sluiceway.contracts.identity import Role
from tests.support.consoles import create_api_key
from tests.support.waiting import eventually

from .conftest import Served


class HeldReads:
    """Reads of the alerts that last until they are released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.running = 0
        self.most = 0

    async def answered_alerts(self) -> list[AnsweredAlert]:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.released.wait()
        self.running -= 1
        return []


@pytest.fixture
def reads(served: Served, monkeypatch: pytest.MonkeyPatch) -> HeldReads:
    reads = HeldReads()
    monkeypatch.setattr(served.console.backend.measurements, "answered_alerts", reads.answered_alerts)
    return reads


@pytest.fixture
async def viewer(served: Served) -> AsyncIterator[httpx2.AsyncClient]:
    key = await create_api_key(served.driver, Role.VIEWER)
    await served.console.backend.catalogue.catch_up()
    async with served.console.caller(key) as client:
        yield client


async def test_few_requests_of_one_caller_are_built_at_the_same_time(
    served: Served, reads: HeldReads, viewer: httpx2.AsyncClient
) -> None:
    requests = [asyncio.create_task(viewer.get("/api/v1/alerts")) for _ in range(8)]
    await eventually(lambda: reads.running == REQUESTS_MAX, "as many as allowed are running")
    other = await served.console.admin.get("/api/v1/regions")
    reads.released.set()
    answers = await asyncio.gather(*requests)

    assert other.status_code == 200
    assert [answer.status_code for answer in answers] == [200] * 8
    assert reads.most == REQUESTS_MAX


async def test_a_command_does_not_wait_for_what_its_sender_reads(served: Served, reads: HeldReads) -> None:
    admin = served.console.admin
    requests = [asyncio.create_task(admin.get("/api/v1/alerts")) for _ in range(8)]
    await eventually(lambda: reads.running == REQUESTS_MAX, "as many as allowed are running")
    saved = await admin.put("/api/v1/regions/new", json={"environment": "production"})
    reads.released.set()
    await asyncio.gather(*requests)

    assert saved.status_code == 200


async def test_who_waits_too_long_is_told_when_to_try_again(
    served: Served, reads: HeldReads, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = served.console.admin
    requests = [asyncio.create_task(admin.get("/api/v1/alerts")) for _ in range(REQUESTS_MAX)]
    await eventually(lambda: reads.running == REQUESTS_MAX, "as many as allowed are running")
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.05)
    refused = await admin.get("/api/v1/regions")
    reads.released.set()
    await asyncio.gather(*requests)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")


async def test_a_turn_lasts_until_the_body_is_sent_and_an_event_stream_has_none(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAIT_SECONDS", 0.05)
    await served.driver.save_gate("one")
    await served.console.backend.features.catch_up()
    audit, released = served.console.backend.audit, asyncio.Event()
    export = audit.export

    async def held(query: AuditQuery) -> AsyncIterator[AuditEntry]:
        async for entry in export(query):
            yield entry
            await released.wait()

    monkeypatch.setattr(audit, "export", held)
    admin, path = served.console.admin, "/api/v1/audit/export"
    async with (
        admin.stream("GET", "/api/v1/events"),
        admin.stream("GET", path) as one,
        admin.stream("GET", path) as two,
    ):
        assert (one.status_code, two.status_code) == (200, 200)
        refused = await admin.get("/api/v1/regions")
        released.set()
        await one.aread()
        await two.aread()

    assert refused.status_code == 503
    assert (await admin.get("/api/v1/regions")).status_code == 200
