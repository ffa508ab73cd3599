"""Server-sent events: every event once, also for clients that reconnect."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
import pytest

from services.console import event_stream
from services.console.api import event_routes
from sluiceway.clock import now_ms
from sluiceway.contracts.commands import RevokeKey, SaveEnvironment
from sluiceway.contracts.identity import Role
from sluiceway.errors import Unavailable
from sluiceway.http.concurrency_limit import ConcurrencyLimit
from sluiceway.messaging.feature_log import LoggedEvent
from tests.integration.console.conftest import Served
from tests.support.brokers import Broker
from tests.support.consoles import create_api_key
from tests.support.system import EVERYONE, following
from tests.support.waiting import eventually

BOUND_SECONDS = 15.0


class Event(NamedTuple):
    """One server-sent event."""

    name: str
    data: dict[str, Any]
    id: str | None

    @property
    def revision(self) -> int:
        """The sequence of the event in the log."""
        revision: int = self.data["revision"]
        return revision


class EventReader:
    """Reads a stream of events."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self, *names: str) -> Event:
        """Return the next event of one of these names (all, without)."""
        async with asyncio.timeout(BOUND_SECONDS):
            while True:
                event = await self._next()
                if not names or event.name in names:
                    return event

    async def until_end(self) -> None:
        async with asyncio.timeout(BOUND_SECONDS):
            async for _ in self._lines:
                pass

    async def _next(self) -> Event:
        fields: dict[str, str] = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if not line and "event" in fields:
                id_ = fields.get("id")
                return Event(fields["event"], json.loads(fields["data"]), id_)
            fields[name] = value
        raise AssertionError("the stream has ended")


@asynccontextmanager
async def listening(client: httpx2.AsyncClient, last: int | str | None = None) -> AsyncIterator[EventReader]:
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with client.stream("GET", "/api/v1/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert (answer.headers["x-accel-buffering"], answer.headers["cache-control"]) == (
            "no",
            "private, no-store",
        )
        reader = EventReader(answer)
        yield reader


async def test_a_client_receives_the_events_of_a_feature(served: Served) -> None:
    async with listening(served.console.admin) as reader:
        reply = await served.driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
        event = await reader.next("feature")

    assert event.data["type"] == "trigger_started"
    assert event.data["trigger"] == "gate.new_checkout.1"
    assert event.data["actorID"] == "ada"
    assert event.revision == reply.revision


async def test_a_client_receives_changes_of_documents_and_regions(served: Served, broker: Broker) -> None:
    async with listening(served.console.admin) as reader, following(broker.url, "dev"):
        await served.driver.accepted(SaveEnvironment, environment={"name": "qa"})
        await served.driver.save_gate("new_checkout", EVERYONE)

        document = await reader.next("catalogue")
        region = await reader.next("region")

    assert document.data == {"kind": "environment", "id": "qa", "deleted": False}
    assert "gate.new_checkout" in region.data["features"]


async def test_a_client_that_reconnects_misses_no_event_and_receives_none_twice(served: Served) -> None:
    revisions = [(await served.driver.save_gate(f"gate_{n}", EVERYONE)).revision for n in range(6)]
    await served.console.backend.features.catch_up()

    async with listening(served.console.admin, last=revisions[1]) as reader:
        missed = [await reader.next("feature") for _ in range(4)]
        live = (await served.driver.save_gate("gate_6", EVERYONE)).revision
        after = await reader.next("feature")

    assert [event.revision for event in missed] == revisions[2:]
    assert after.revision == live


async def test_a_client_that_missed_too_much_gets_a_reset(served: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr(event_routes, "REPLAY_MAX", 2)
    for n in range(4):
        await served.driver.save_gate(f"gate_{n}", EVERYONE)
    await served.console.backend.features.catch_up()

    async with listening(served.console.admin, last=0) as reader:
        assert (await reader.next()).name == "reset"


async def test_a_log_that_cannot_be_read_to_its_end_gets_a_reset(served: Served, monkeypatch: Any) -> None:
    await served.driver.save_gate("one")
    await served.driver.save_gate("two")
    await served.console.backend.features.catch_up()
    log = served.console.backend.log
    between = log.between

    async def fail_midway(after: int, until: int) -> AsyncIterator[LoggedEvent]:
        async for logged in between(after, until):
            yield logged
            raise Unavailable("the broker is away")

    monkeypatch.setattr(log, "between", fail_midway)
    async with listening(served.console.admin, last=0) as reader:
        names = [(await reader.next()).name for _ in range(2)]
        live = (await served.driver.save_gate("three")).revision
        after = await reader.next("feature")

    assert names == ["feature", "reset"]
    assert after.revision == live


async def test_the_id_of_an_event_is_where_its_reader_goes_on(served: Served) -> None:
    async with listening(served.console.admin) as reader:
        await served.driver.save_gate("one")
        first = await reader.next("feature")
    live = (await served.driver.save_gate("two")).revision
    await served.console.backend.features.catch_up()

    async with listening(served.console.admin, last=first.id) as reader:
        assert (await reader.next("feature")).revision == live


@pytest.mark.parametrize("last", [10**9, "1-5"], ids=["further than the log", "another event there"])
async def test_an_id_of_another_log_gets_a_reset(served: Served, last: int | str) -> None:
    await served.driver.save_gate("one")
    await served.console.backend.features.catch_up()

    async with listening(served.console.admin, last=last) as reader:
        assert (await reader.next()).name == "reset"


async def test_a_stream_ends_with_the_key_of_its_listener(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER)
    await served.console.backend.catalogue.catch_up()

    async with served.console.caller(key) as viewer, listening(viewer) as reader:
        await served.driver.accepted(RevokeKey, key_id=key.split("-")[1])

        await reader.until_end()


async def test_a_stream_sends_nothing_after_the_key_of_its_listener_has_expired(served: Served) -> None:
    soon_ms = now_ms() + 3_600_000
    key = await create_api_key(served.driver, Role.VIEWER, expires_ms=soon_ms)
    await served.console.backend.catalogue.catch_up()

    async with served.console.caller(key) as viewer, listening(viewer) as reader:
        await served.driver.save_gate("before")
        first = await reader.next("feature")
        served.console.backend.clock = lambda: soon_ms
        await served.driver.save_gate("after")
        with pytest.raises(AssertionError, match="the stream has ended"):
            await reader.next("feature")

    assert first.data["feature"] == "gate.before"


async def test_a_stream_ends_with_the_session_that_opened_it(served: Served) -> None:
    async with served.console.caller(None) as browser:
        form = await browser.get("/sign-in")
        csrf = form.text.partition('name="csrf" value="')[2].partition('"')[0]
        await browser.post("/sign-in", data={"csrf": csrf, "key": served.console.key})
        authentication = served.console.state.authentication
        async with listening(browser) as reader:
            session_identity = authentication.session_identity
            authentication.session_identity = lambda request: None
            await served.driver.save_gate("after")
            await reader.until_end()
            authentication.session_identity = session_identity


async def test_a_stream_ends_after_a_time_and_its_client_resumes(served: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr(event_routes, "STREAM_SECONDS_MAX", 0)

    async with listening(served.console.admin) as reader:
        await reader.until_end()


async def test_one_key_has_no_more_streams_than_allowed(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER)
    await served.console.backend.catalogue.catch_up()
    served.console.state.streams = ConcurrencyLimit(total=10, per_caller=1)

    async with served.console.caller(key) as viewer, listening(viewer) as reader:
        await served.driver.save_gate("one")
        await reader.next("feature")
        refused = await viewer.get("/api/v1/events")
        async with listening(served.console.admin):
            pass
    async with served.console.caller(key) as viewer:

        async def is_free() -> bool:
            async with viewer.stream("GET", "/api/v1/events") as answer:
                return answer.status_code == 200

        await eventually(is_free, "the place of the stream that ended is free")

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert "you have 1 of them" in refused.json()["message"]


async def test_a_client_that_does_not_read_is_disconnected(served: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr(event_stream, "QUEUE_MAX", 3)
    with served.console.backend.events.listening() as listener:
        for n in range(6):
            await served.driver.accepted(SaveEnvironment, environment={"name": f"env-{n}"})
        await served.console.backend.catalogue.catch_up()

        heard = [event async for event in listener.events(lambda: True)]

    assert len(heard) == 3


async def test_an_id_that_is_not_a_number_is_refused(served: Served) -> None:
    answer = await served.console.admin.get("/api/v1/events", headers={"Last-Event-ID": "x"})

    assert answer.status_code == 400
