"""Each region in an account of its own: an edge works there as anywhere, also if the store goes back."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import NoStreamResponseError, NotFoundError

from services.scheduler.app import Scheduler
from services.scheduler.region_accounts import RegionAccounts
from sluiceway import sdk_keys
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import ApprovePhase, RevokeKey, SaveRegion
from sluiceway.errors import Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.jetstream_api import request_jetstream
from sluiceway.messaging.region_documents import RegionDocuments
from sluiceway.messaging.rules_streams import RulesStreams, read_rules_streams
from sluiceway.messaging.streams import streams
from sluiceway.settings import BrokerSettings
from tests.support.catalogues import REGIONS, region
from tests.support.edges import create_key, running_edge
from tests.support.secured import Secured, scheduler_settings, secured_system, write_secured_config
from tests.support.system import EVERYONE, Driver
from tests.support.waiting import eventually

TRIGGER = "gate.new_checkout.1"
DEV = {"region": "dev"}


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    async with secured_system(tmp_path) as system:
        yield system


async def test_an_edge_works_in_the_account_of_its_region(secured: Secured, tmp_path: Path) -> None:
    admin = await secured.admin()
    regions, environments = [
        await create_key(admin, **place) for place in (DEV, {"environment": "development"})
    ]
    others = await create_key(admin, region="prod-eu")
    await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    url = secured.url("edge-dev", "edge")
    async with running_edge(url, "dev", tmp_path / "edge", regions) as running:
        keys = running.edge.keys
        await eventually(lambda: keys.is_authorized(environments), "keys of the environment are accepted")
        assert not keys.is_authorized(others)

        await admin.act(ApprovePhase, TRIGGER)
        await eventually(lambda: running.edge.rules.check_gate({}, "new_checkout"), "it has the candidate")
        await eventually(lambda: reports(secured), "its report has arrived")
        await admin.saved(RevokeKey, key_id=sdk_keys.key_id(regions))
        await eventually(lambda: not keys.is_authorized(regions), "the key is revoked")
        await admin.saved(SaveRegion, region=region("dev", "staging"))
        await eventually(lambda: not keys.is_authorized(environments), "the environment is another one")
        assert await running.edge.readiness() == {}


async def reports(secured: Secured) -> bool:
    js = (await secured.admin()).connection.js
    info = await js.stream_info(subjects.APPLIED_STREAM, subjects_filter="$KV.APPLIED.dev.*")
    return bool(info.state.subjects)


@pytest.mark.parametrize("stream", [subjects.RULES_STREAM, subjects.REGIONS_STREAM])
async def test_a_copy_follows_a_store_that_went_back(secured: Secured, tmp_path: Path, stream: str) -> None:
    admin = await secured.admin()
    key = await create_key(admin, **DEV)
    await admin.save_gate("everywhere", EVERYONE)
    async with running_edge(secured.url("edge-dev", "edge"), "dev", tmp_path / "edge", key) as running:
        await eventually(lambda: running.edge.rules.check_gate({}, "everywhere"), "it has the rules")

        (config,) = (config for config in streams(1) if config.name == stream)
        js = (await secured.stream_admin()).connection.js
        await js.delete_stream(stream)
        await js.add_stream(config)
        await admin.save_gate("later", EVERYONE)
        newer = await create_key(admin, **DEV)

        await eventually(lambda: running.edge.rules.check_gate({}, "later"), "it has newer rules", 30)
        await eventually(lambda: running.edge.keys.is_authorized(newer), "it has newer keys", 30)
        assert running.edge.keys.is_authorized(key)
        assert running.edge.rules.check_gate({}, "everywhere")


async def test_a_region_without_an_account_is_named_and_the_others_work(
    secured: Secured, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    admin = await secured.admin()
    await admin.saved(SaveRegion, region=region("qa", "staging"))
    key = await create_key(admin, **DEV)
    async with running_edge(secured.url("edge-dev", "edge"), "dev", tmp_path / "edge", key):
        await eventually(lambda: "the region qa has no account" in caplog.text, "the log names it")

    assert caplog.text.count("the region qa has no account") == 1


async def test_many_rules_are_copied(secured: Secured) -> None:
    """More than the broker sends before it waits for an answer of its own."""
    count = 3_000
    async with connected(BrokerSettings(nats_url=secured.url("scheduler", "scheduler")), "tests") as hub:
        publisher = secured.url("evaluator_publisher", "publisher")
        async with connected(BrokerSettings(nats_url=publisher), "tests") as connection:
            for number in range(count):
                await connection.client.publish(f"$KV.RULES.dev.gate.g{number}", bytes(1_000))
            await connection.client.flush()

        async def copied() -> bool:
            info = await request_jetstream(
                hub.client, subjects.region_api("dev", f"STREAM.INFO.{subjects.RULES_STREAM}")
            )
            return bool(info["state"]["messages"] >= count)

        await eventually(copied, "everything is copied")


async def test_a_copy_of_the_same_history_is_left_alone(secured: Secured) -> None:
    settings = BrokerSettings(nats_url=secured.url("scheduler", "scheduler"))
    await (await secured.admin()).save_gate("everywhere", EVERYONE)
    async with (
        connected(settings, "tests") as hub,
        CatalogueView(hub) as catalogue,
        RegionDocuments(hub) as documents,
    ):
        accounts = RegionAccounts(hub, catalogue, documents, 1)
        await eventually(lambda: copy_of_rules(hub), "the rules are copied")
        before = await copy_of_rules(hub)
        await accounts.update()

        assert (await copy_of_rules(hub))["created"] == before["created"]


async def test_a_copy_that_is_newer_than_what_was_read_of_the_original_is_left_alone(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original is read first, and is written to before the copy is read."""
    settings = BrokerSettings(nats_url=secured.url("scheduler", "scheduler"))
    admin = await secured.admin()
    await admin.save_gate("everywhere", EVERYONE)
    async with (
        connected(settings, "tests") as hub,
        CatalogueView(hub) as catalogue,
        RegionDocuments(hub) as documents,
    ):
        accounts = RegionAccounts(hub, catalogue, documents, 1)
        await eventually(lambda: copy_of_rules(hub), "the rules are copied")
        before = await copy_of_rules(hub)
        ask = accounts._info

        async def grow_after_the_first_look(subject: str, body: object = None) -> dict[str, Any]:
            info = await ask(subject, body)
            if subject == f"$JS.API.STREAM.INFO.{subjects.REGIONS_STREAM}":  # all originals were read
                await admin.save_gate("later", EVERYONE)
                await eventually(lambda: has_grown(hub, before), "the new rules are copied")
            return info

        monkeypatch.setattr(accounts, "_info", grow_after_the_first_look)
        await accounts.update()

        assert (await copy_of_rules(hub))["created"] == before["created"]


async def has_grown(hub: Connection, before: dict[str, Any]) -> bool:
    """Return whether the copy in the region dev has more than it had."""
    return bool((await copy_of_rules(hub))["state"]["last_seq"] > before["state"]["last_seq"])


async def copy_of_rules(hub: Connection) -> dict[str, Any]:
    """Return what the broker says of the copy in the region dev; empty if it holds nothing."""
    subject = subjects.region_api("dev", f"STREAM.INFO.{subjects.RULES_STREAM}")
    info = await request_jetstream(hub.client, subject)
    return info if info["state"]["messages"] else {}


async def test_copies_follow_streams_of_which_an_older_state_was_put_back(
    tmp_path: Path, secured: Secured
) -> None:
    """Only the account of the services goes back: the copies are ahead of it then."""
    admin = await secured.admin()
    key = await create_key(admin, **DEV)
    await admin.save_gate("kept", EVERYONE)
    streams_folder = tmp_path / "streams" / "jetstream" / "SLUICEWAY"
    async with running_edge(secured.url("edge-dev", "edge"), "dev", tmp_path / "edge", key) as running:
        await eventually(lambda: running.edge.rules.check_gate({}, "kept"), "it has the rules")
        secured.broker.stop()
        shutil.copytree(streams_folder, tmp_path / "older")
        await asyncio.to_thread(secured.broker.start)
        await eventually(admin.connection.is_alive, "the broker is back")
        await saved(admin, "lost")
        await eventually(lambda: running.edge.rules.check_gate({}, "lost"), "it has the newer rules", 30)
        revoked_later = await create_key(admin, **DEV)
        await eventually(lambda: running.edge.keys.is_authorized(revoked_later), "it has the newer key", 30)

        secured.broker.stop()
        shutil.rmtree(streams_folder)
        shutil.copytree(tmp_path / "older", streams_folder)
        await asyncio.to_thread(secured.broker.start)

        await eventually(lambda: not running.edge.rules.check_gate({}, "lost"), "it went back as well", 40)
        await eventually(lambda: not running.edge.keys.is_authorized(revoked_later), "so did its keys", 40)
        await saved(admin, "later")
        await eventually(lambda: running.edge.rules.check_gate({}, "later"), "it goes on", 40)
        assert running.edge.rules.check_gate({}, "kept")
        assert running.edge.keys.is_authorized(key)


async def saved(admin: Driver, gate: str) -> None:
    """Save a gate, once the scheduler answers again."""

    async def is_saved() -> bool:
        try:
            return (await admin.save_gate(gate, EVERYONE)).refusal is None
        except (Unavailable, AssertionError):
            return False

    await eventually(is_saved, f"{gate} is saved", 30)


async def test_a_copy_is_filled_from_the_stream_of_the_group_of_its_region(tmp_path: Path) -> None:
    """Also by more than the broker sends before it waits for an answer of its own."""
    count, rules = 2_000, RulesStreams(3)
    assert {rules.of(name) for name in REGIONS} == {*rules.names}
    async with secured_system(tmp_path, rules_streams=3) as secured:
        async with connected_as(secured, "evaluator_publisher", "publisher") as publisher:
            for name in REGIONS:
                for number in range(count if name == "dev" else 1):
                    await publisher.client.publish(f"$KV.RULES.{name}.gate.g{number}", bytes(1_000))
            await publisher.client.flush()
        async with connected_as(secured, "scheduler") as hub:
            for name in REGIONS:
                await are_copied(hub, name, count if name == "dev" else 1)
        for name in REGIONS:
            async with connected_as(secured, f"edge-{name}", "edge") as edge:
                info = await edge.js.stream_info(subjects.RULES_STREAM, subjects_filter=">")
                assert {subjects.parse_region(subject) for subject in info.state.subjects or ()} == {name}
                assert await read_rules_streams(edge.replies) == RulesStreams()


async def test_another_number_of_streams_reaches_the_accounts_of_regions(tmp_path: Path) -> None:
    """First the broker gets its new configuration, then the scheduler its setting."""
    async with secured_system(tmp_path) as secured:
        async with connected_as(secured, "evaluator_publisher", "publisher") as publisher:
            await publisher.js.publish("$KV.RULES.dev.gate.before", b"{}")
        async with connected_as(secured, "scheduler") as hub:
            await are_copied(hub, "dev", 1)
            for service in reversed(secured.services):
                await service.__aexit__(None, None, None)
            write_secured_config(tmp_path / "secured.conf", rules_streams=3)
            assert secured.broker.pid
            os.kill(secured.broker.pid, signal.SIGHUP)

            async with Scheduler(scheduler_settings(secured, rules_streams=3)):
                for name in REGIONS:
                    await publishes(secured, name)
                    await are_copied(hub, name, 1)


def connected_as(secured: Secured, user: str, password: str = "") -> AbstractAsyncContextManager[Connection]:
    return connected(BrokerSettings(nats_url=secured.url(user, password or user)), "tests")


async def are_copied(hub: Connection, name: str, count: int) -> None:
    """Wait until a region has so many rules in its account, from the stream of its group."""

    async def look() -> bool:
        subject = subjects.region_api(name, f"STREAM.INFO.{subjects.RULES_STREAM}")
        try:
            info = await request_jetstream(hub.client, subject)
            origin = (await read_rules_streams(hub.replies)).of(name)
        except NotFoundError:
            return False
        return info["config"]["mirror"]["name"] == origin and bool(info["state"]["messages"] >= count)

    await eventually(look, f"the rules of {name} are copied", 30)


async def publishes(secured: Secured, name: str) -> None:
    """Publish a rule of a region, once there is a stream for it."""
    async with connected_as(secured, "evaluator_publisher", "publisher") as publisher:

        async def look() -> bool:
            try:
                return bool(await publisher.js.publish(f"$KV.RULES.{name}.gate.after", b"{}"))
            except NoStreamResponseError:
                return False

        await eventually(look, f"there is a stream for {name}")
