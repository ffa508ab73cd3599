"""A session that was ended stays ended: for copies of its cookie, at every console, for open streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from services.console.ended_sessions import ENDED_ONE_BY_ONE_MAX, EndedSessions
from services.console.sessions import Session
from sluiceway import console_keys
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import CreateKey, RevokeKey
from sluiceway.contracts.identity import ApiKey, Grant, Role
from sluiceway.messaging.streams import streams
from tests.support.brokers import Broker
from tests.support.consoles import RunningConsole, create_api_key, running_console
from tests.support.http import http_client
from tests.support.system import Driver
from tests.support.waiting import eventually

from .conftest import Served
from .test_sign_in import HTML, csrf_of, sign_in

SECRET = "the same secret for all consoles"


@asynccontextmanager
async def consoles(broker: Broker, folder: Path) -> AsyncIterator[tuple[RunningConsole, RunningConsole]]:
    """Run two replicas of a console."""
    async with (
        running_console(broker.url, folder, session_secret=SECRET) as one,
        running_console(broker.url, folder, session_secret=SECRET) as two,
    ):
        yield one, two


def browser(console: RunningConsole, copied: httpx2.AsyncClient | None = None) -> httpx2.AsyncClient:
    """Return a browser, with a copy of another's cookies."""
    return http_client(
        base_url=console.url, headers=HTML, timeout=15, cookies=copied.cookies if copied else None
    )


async def sign_out(client: httpx2.AsyncClient, path: str = "/sign-out") -> httpx2.Response:
    return await client.post(path, data={"csrf": csrf_of(await client.get("/"))})


async def is_signed_in(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/api/v1/me")).status_code == 200


async def test_a_copied_cookie_is_worthless_after_signing_out_at_every_console(
    served: Served, broker: Broker, tmp_path: Path
) -> None:
    key = await create_api_key(served.driver, Role.VIEWER)
    async with consoles(broker, tmp_path) as (one, two), browser(one) as client:
        await sign_in(client, key)
        async with browser(one, client) as copy, browser(two, client) as elsewhere:
            assert await is_signed_in(copy)
            assert await is_signed_in(elsewhere)

            assert (await sign_out(client)).headers["location"] == "/sign-in"

            assert not await is_signed_in(copy)
            await two.backend.ended_sessions.catch_up()
            assert not await is_signed_in(elsewhere)
            async with (
                running_console(broker.url, tmp_path, session_secret=SECRET) as later,
                browser(later, elsewhere) as after,
            ):
                assert not await is_signed_in(after)


async def test_signing_out_ends_one_session_or_all_of_the_same_key(
    served: Served, broker: Broker, tmp_path: Path
) -> None:
    key, other = [await create_api_key(served.driver, Role.VIEWER, owner=owner) for owner in ("ada", "bob")]
    async with (
        running_console(broker.url, tmp_path) as console,
        browser(console) as first,
        browser(console) as second,
        browser(console) as third,
        browser(console) as bob,
    ):
        for client in (first, second, third):
            await sign_in(client, key)
        await sign_in(bob, other)

        await sign_out(first)
        after_one = [await is_signed_in(client) for client in (first, second, third, bob)]
        await sign_out(second, "/sign-out/everywhere")
        after_all = [await is_signed_in(client) for client in (first, second, third, bob)]
        await sign_in(third, key)

        assert after_one == [False, True, True, True]
        assert after_all == [False, False, False, True]
        assert await is_signed_in(third)


async def test_event_streams_of_a_session_end_with_it_and_those_of_others_do_not(
    served: Served, broker: Broker, tmp_path: Path
) -> None:
    key = await create_api_key(served.driver, Role.VIEWER)
    async with (
        consoles(broker, tmp_path) as (one, two),
        browser(one) as client,
        two.caller(key) as machine,
    ):
        await sign_in(client, key)
        async with (
            browser(two, client) as copy,
            copy.stream("GET", "/api/v1/events") as ending,
            machine.stream("GET", "/api/v1/events") as going_on,
        ):
            await sign_out(client)

            async with asyncio.timeout(10):
                ended = [line async for line in ending.aiter_lines()]
                await served.driver.save_gate("after")
                async for line in going_on.aiter_lines():
                    if line.startswith("event: feature"):
                        break

    assert not any(line.startswith("event:") for line in ended)


async def test_a_session_does_not_come_back_with_a_new_key_of_the_same_id(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER)
    id_ = console_keys.key_id(key)
    async with browser(served.console) as client:
        await sign_in(client, key)
        await served.driver.accepted(RevokeKey, key_id=id_)
        again = ApiKey(
            id=id_,
            owner="eve",
            grants=(Grant(role=Role.ADMIN),),
            hash=console_keys.hash_of(key),
            created_ms=1,
        )
        await served.driver.accepted(CreateKey, key=again.to_jsonable())
        await served.console.backend.catalogue.catch_up()

        assert not await is_signed_in(client)


async def test_what_was_ended_stays_ended_when_the_stream_goes_back(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER)
    ended, js = served.console.backend.ended_sessions, served.driver.connection.js
    async with browser(served.console) as client:
        await sign_in(client, key)
        async with browser(served.console, client) as copy:
            await sign_out(client)
            await ended.catch_up()

            await js.delete_stream(subjects.SESSIONS_STREAM)
            config = next(config for config in streams(1) if config.name == subjects.SESSIONS_STREAM)
            await js.add_stream(config)
            await eventually(lambda: ended.follower.resets, "the console has seen the new stream")

            assert not await is_signed_in(copy)


async def test_signing_out_that_cannot_be_stored_is_not_claimed(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER)
    async with browser(served.console) as client:
        await sign_in(client, key)
        await served.driver.connection.js.delete_stream(subjects.SESSIONS_STREAM)

        answer = await sign_out(client)

        assert answer.status_code == 503
        assert await is_signed_in(client)


async def test_what_one_user_can_store_is_bounded(served: Served) -> None:
    stream = subjects.SESSIONS_STREAM
    driver: Driver = served.driver
    sessions = [
        Session(id=str(n), since_ms=n, key_id="ada", key_created_ms=1)
        for n in range(ENDED_ONE_BY_ONE_MAX + 50)
    ]
    async with EndedSessions(driver.connection, lambda: 1_000) as ended:
        await ended.caught_up()
        for session in sessions:
            await ended.end(session)

        assert all(session in ended for session in sessions)
        assert Session(id="new", since_ms=1_001, key_id="ada", key_created_ms=1) not in ended
        assert Session(id="0", since_ms=0, key_id="bob", key_created_ms=1) not in ended
    messages = (await driver.connection.js.stream_info(stream)).state.messages
    assert messages == ENDED_ONE_BY_ONE_MAX + 1


async def test_a_message_that_is_not_ours_ends_what_its_subject_names(served: Served) -> None:
    session = Session(id="1", since_ms=1, key_id="ada", key_created_ms=1)
    principal, id_ = session.digests
    ended = served.console.backend.ended_sessions

    for subject in (
        subjects.ended_session(principal, id_),
        subjects.ended_sessions("x"),
        "sluiceway.sessions.ended.a.b.c",
    ):
        await served.driver.connection.js.publish(subject, b"\xff{")
    await ended.catch_up()

    assert session in ended
