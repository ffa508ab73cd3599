"""A region behind a leaf node: its edges work as anywhere, through cuts, kills and another hub."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from services.edge import link_age
from services.evaluator_publisher import heartbeats
from services.evaluator_publisher.app import EvaluatorPublisher
from services.scheduler import region_accounts, region_leaves
from services.scheduler.app import Scheduler
from sluiceway import sdk_keys
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import ApprovePhase, ArchiveFeature, DeleteRegion, RevokeKey
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.jetstream_api import request_jetstream
from sluiceway.messaging.region_leaves import RegionLeaf
from sluiceway.messaging.rules_streams import RulesStreams
from sluiceway.settings import BrokerSettings, ServiceSettings
from tests.support import heartbeats as stream_heartbeats
from tests.support.catalogues import apply_catalogue, phase
from tests.support.edges import create_key, gate_document, running_edge
from tests.support.leaves import (
    BOUND_SECONDS,
    LeafSystem,
    as_hub,
    edge_behind,
    has,
    leaf_system,
    saved,
    worst_repetition,
)
from tests.support.secured import scheduler_settings, write_secured_config
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

TRIGGER = "gate.new_checkout.1"
DEV = {"region": "dev"}
COPIES = (subjects.RULES_STREAM, subjects.CATALOG_STREAM)


@pytest.fixture(autouse=True)
def _frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(region_leaves, "CHECK_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(region_leaves, "REPAIR_FIRST_SECONDS", 0.2)
    monkeypatch.setattr(region_accounts, "CHECK_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(heartbeats, "HEARTBEAT_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(link_age, "STALE_AFTER_SECONDS", 1.0)
    stream_heartbeats.make_fast(monkeypatch)


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[LeafSystem]:
    async with leaf_system(tmp_path) as running:
        yield running


@asynccontextmanager
async def at_leaf(system: LeafSystem) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=system.admin_url), "tests") as connection:
        yield connection


async def created(leaf: Connection, copy: str) -> str:
    """Return when a copy on the leaf node was created; empty if there is none, or it has not all."""
    try:
        info = await request_jetstream(leaf.client, f"$JS.API.STREAM.INFO.{copy}")
    except NotFoundError:
        return ""
    return str(info["created"]) if info["state"]["messages"] else ""


async def are_replaced(leaf: Connection, before: dict[str, str]) -> None:
    async def look() -> bool:
        now = {copy: await created(leaf, copy) for copy in before}
        return all(now.values()) and not now.items() & before.items()

    await eventually(look, f"replaced: {', '.join(before)}", BOUND_SECONDS)


async def test_an_edge_works_behind_a_leaf_node(system: LeafSystem, tmp_path: Path) -> None:
    admin = await system.secured.admin()
    key = await create_key(admin, **DEV)
    others = await create_key(admin, region="prod-eu")
    await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    async with running_edge(system.edge_url, "dev", tmp_path / "edge", key) as running:
        assert not running.edge.keys.is_authorized(others)
        assert not running.edge.rules.check_gate({}, "new_checkout")

        await admin.act(ApprovePhase, TRIGGER)

        await has(running, "new_checkout")
        await eventually(lambda: reported(system), "its report has arrived")
        assert await running.edge.readiness() == {}
        assert not running.edge.is_stale()
        await admin.saved(RevokeKey, key_id=sdk_keys.key_id(key))
        await eventually(lambda: not running.edge.keys.is_authorized(key), "the key is revoked")


async def reported(system: LeafSystem) -> bool:
    js = (await system.secured.admin()).connection.js
    info = await js.stream_info(subjects.APPLIED_STREAM, subjects_filter="$KV.APPLIED.dev.*")
    return bool(info.state.subjects)


@pytest.mark.parametrize("how", ["cut", "swallow"])
async def test_an_edge_serves_on_and_is_stale_while_the_link_is_down(
    system: LeafSystem, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with edge_behind(system, tmp_path) as running:
        assert not running.edge.is_stale()
        caplog.clear()
        getattr(system.link, how)()
        await saved(system, "later")

        await eventually(running.edge.is_stale, "it is stale", BOUND_SECONDS)
        answer = await running.http.get("/readyz")
        assert answer.status_code == 200
        assert "no word from a publisher" in answer.json()["warnings"]["link"]
        assert (await running.flag("everywhere", targetingKey="ann"))["reason"] == "STALE"
        assert not running.edge.rules.check_gate({}, "later")

        system.link.restore()
        await has(running, "later")
        await eventually(lambda: not running.edge.is_stale(), "it is current", BOUND_SECONDS)
    assert worst_repetition(caplog) == 1


async def test_an_edge_goes_on_when_the_leaf_node_was_killed(system: LeafSystem, tmp_path: Path) -> None:
    async with edge_behind(system, tmp_path) as running:
        system.leaf.kill()
        await saved(system, "later")
        assert running.edge.rules.check_gate({}, "everywhere")

        await asyncio.to_thread(system.leaf.start)

        await has(running, "later")


async def test_a_leaf_node_that_lost_its_disk_gets_everything_again(
    system: LeafSystem, tmp_path: Path
) -> None:
    async with edge_behind(system, tmp_path) as running:
        system.leaf.kill()
        shutil.rmtree(tmp_path / "leaf-streams")
        await asyncio.to_thread(system.leaf.start)

        await saved(system, "later")
        await has(running, "later")
        assert running.edge.rules.check_gate({}, "everywhere")


async def test_a_leaf_node_with_an_older_disk_gets_everything_again(
    system: LeafSystem, tmp_path: Path
) -> None:
    """Its consumer at the hub has been read further, and does not deliver what is missing."""
    async with edge_behind(system, tmp_path) as running:
        system.leaf.stop()
        shutil.copytree(tmp_path / "leaf-streams", tmp_path / "older")
        await asyncio.to_thread(system.leaf.start)
        await saved(system, "lost")
        await has(running, "lost")
        system.leaf.stop()
        shutil.rmtree(tmp_path / "leaf-streams")
        shutil.copytree(tmp_path / "older", tmp_path / "leaf-streams")
        await asyncio.to_thread(system.leaf.start)

        async with running_edge(system.edge_url, "dev", tmp_path / "another") as another:
            await has(another, "lost")
        await has(running, "lost")


@pytest.mark.parametrize("copy", COPIES)
async def test_a_copy_follows_one_at_the_hub_that_was_created_again(
    system: LeafSystem, tmp_path: Path, copy: str
) -> None:
    async with edge_behind(system, tmp_path) as running, at_leaf(system) as leaf:
        before = {copy: await created(leaf, copy)}
        admin = await system.scheduler_connection()

        await request_jetstream(admin.client, subjects.region_api("dev", f"STREAM.DELETE.{copy}"))

        await are_replaced(leaf, before)
        await saved(system, "later")
        await has(running, "later")


async def test_no_edge_keeps_what_a_new_hub_does_not_have(system: LeafSystem, tmp_path: Path) -> None:
    """The hub has lost its disk: it knows no release, no region and no key until they are declared again."""
    async with edge_behind(system, tmp_path) as running:
        await release(system)
        await has(running, "new_checkout")
        for service in reversed(system.secured.services):
            await service.__aexit__(None, None, None)
        system.secured.broker.stop()
        shutil.rmtree(tmp_path / "streams")
        await asyncio.to_thread(system.secured.broker.start)
        assert running.edge.rules.check_gate({}, "new_checkout")

        async with services_of(system):
            await declared_again(system)
            await saved(system, "later")

            await has(running, "later")
            assert not running.edge.rules.check_gate({}, "new_checkout")
            assert not running.edge.rules.check_gate({}, "everywhere")


async def test_no_edge_keeps_what_a_restored_hub_does_not_have(system: LeafSystem, tmp_path: Path) -> None:
    """Also the account of the region has gone back, and has more messages again when the link is back."""
    async with edge_behind(system, tmp_path) as running:
        hub = system.secured.broker
        hub.stop()
        shutil.copytree(tmp_path / "streams", tmp_path / "older")
        await asyncio.to_thread(hub.start)
        await saved(system, "before")
        await release(system)
        await has(running, "new_checkout")
        system.link.cut()
        hub.stop()
        shutil.rmtree(tmp_path / "streams")
        shutil.copytree(tmp_path / "older", tmp_path / "streams")
        await asyncio.to_thread(hub.start)
        for number in range(20):
            await saved(system, f"later{number}")

        system.link.restore()

        await has(running, "later19")
        await eventually(
            lambda: not running.edge.rules.check_gate({}, "new_checkout"), "it went back", BOUND_SECONDS
        )
        assert not running.edge.rules.check_gate({}, "before")
        assert running.edge.rules.check_gate({}, "everywhere")


async def release(system: LeafSystem) -> None:
    """Release a gate to the region."""
    admin = await system.secured.admin()
    await admin.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    await admin.act(ApprovePhase, TRIGGER)


async def declared_again(system: LeafSystem) -> None:
    admin = await system.secured.admin()

    async def look() -> bool:
        try:
            await apply_catalogue(admin, phase("dev"))
        except (Unavailable, AssertionError):
            return False
        return True

    await eventually(look, "the catalogue is there again", BOUND_SECONDS)


async def test_what_somebody_changed_on_the_leaf_node_is_repaired(system: LeafSystem, tmp_path: Path) -> None:
    async with edge_behind(system, tmp_path) as running, at_leaf(system) as leaf:
        before = {copy: await created(leaf, copy) for copy in COPIES}
        config = (await request_jetstream(leaf.client, f"$JS.API.STREAM.INFO.{COPIES[0]}"))["config"]
        config["max_msgs"] = 1
        await request_jetstream(leaf.client, f"$JS.API.STREAM.UPDATE.{COPIES[0]}", config)
        await leaf.js.delete_stream(COPIES[1])

        await are_replaced(leaf, before)
        await saved(system, "later")
        await has(running, "later")


async def test_a_consumer_that_somebody_deleted_at_the_hub_is_replaced(
    system: LeafSystem, tmp_path: Path
) -> None:
    async with edge_behind(system, tmp_path) as running, at_leaf(system) as leaf:
        before = {COPIES[0]: await created(leaf, COPIES[0])}
        hub = await system.scheduler_connection()
        info = await request_jetstream(leaf.client, f"$JS.API.STREAM.INFO.{COPIES[0]}")
        consumer = info["config"]["mirror"]["consumer"]["name"]

        await request_jetstream(
            hub.client, subjects.region_api("dev", f"CONSUMER.DELETE.{COPIES[0]}.{consumer}")
        )

        await are_replaced(leaf, before)
        await saved(system, "later")
        await has(running, "later")


async def test_what_is_in_order_is_left_alone(system: LeafSystem, tmp_path: Path) -> None:
    """Also after deletions, restarts of either side, and many changes."""
    async with edge_behind(system, tmp_path) as running, at_leaf(system) as leaf:
        before = {copy: await created(leaf, copy) for copy in COPIES}
        admin = await system.secured.admin()
        await admin.accepted(ArchiveFeature, kind=FeatureKind.GATE, name="everywhere")
        await saved(system, "other")
        await has(running, "other")
        system.leaf.kill()
        await asyncio.to_thread(system.leaf.start)
        system.secured.broker.kill()
        await asyncio.to_thread(system.secured.broker.start)
        await saved(system, "later")
        await has(running, "later")
        admin_connection = await system.scheduler_connection()
        for _ in range(3):
            assert await RegionLeaf(admin_connection.client, "dev").problems() == []

        assert {copy: await created(leaf, copy) for copy in COPIES} == before


async def test_a_region_that_is_deleted_has_no_rules_and_no_keys_on_its_leaf_node(
    system: LeafSystem, tmp_path: Path
) -> None:
    async with edge_behind(system, tmp_path) as running, at_leaf(system) as leaf:
        admin = await system.secured.admin()

        await admin.saved(DeleteRegion, name="dev")

        await eventually(lambda: holds_nothing(leaf), "rules and keys are deleted", BOUND_SECONDS)
        key = running.http.headers["x-api-key"]
        await eventually(lambda: not running.edge.keys.is_authorized(key), "its key opens nothing")


async def holds_nothing(leaf: Connection) -> bool:
    """Return whether the copies on the leaf node hold nothing but marks of deletions."""
    bodies = []
    for copy in COPIES:
        info = await leaf.js.stream_info(copy, subjects_filter=">")
        bodies += [(await leaf.js.get_last_msg(copy, subject)).data for subject in info.state.subjects or ()]
    return not any(bodies)


async def test_another_number_of_streams_of_rules_reaches_a_leaf_node(
    system: LeafSystem, tmp_path: Path
) -> None:
    assert RulesStreams(2).of("dev") != RulesStreams(1).of("dev")
    async with edge_behind(system, tmp_path) as running, at_leaf(system) as leaf:
        before = {COPIES[0]: await created(leaf, COPIES[0])}
        for service in reversed(system.secured.services):
            await service.__aexit__(None, None, None)
        config = tmp_path / "secured.conf"
        write_secured_config(config, rules_streams=2)
        as_hub(config, system.port)
        assert system.secured.broker.pid
        os.kill(system.secured.broker.pid, signal.SIGHUP)

        async with services_of(system, rules_streams=2):
            await are_replaced(leaf, before)
            await saved(system, "later")
            await has(running, "later")
        assert running.edge.rules.check_gate({}, "everywhere")


@asynccontextmanager
async def services_of(system: LeafSystem, rules_streams: int | None = None) -> AsyncIterator[None]:
    """Run another scheduler and another publisher."""
    publisher = system.secured.url("evaluator_publisher", "publisher")
    async with (
        Scheduler(scheduler_settings(system.secured, rules_streams)),
        EvaluatorPublisher(ServiceSettings(nats_url=publisher)),
    ):
        yield


async def test_many_rules_are_copied_over_a_slow_link(system: LeafSystem) -> None:
    """More than the broker sends before it waits for an answer."""
    count = 2_500
    url = system.secured.url("evaluator_publisher", "publisher")
    async with connected(BrokerSettings(nats_url=url), "tests") as publisher, at_leaf(system) as leaf:
        await eventually(lambda: created(leaf, COPIES[1]), "the copies are there", BOUND_SECONDS)
        system.link.delay_seconds = 0.05
        for number in range(count):
            name = f"g{number}"
            await publisher.client.publish(f"$KV.RULES.dev.gate.{name}", gate_document(name))
        await publisher.client.flush()

        async def copied() -> bool:
            info = await request_jetstream(leaf.client, f"$JS.API.STREAM.INFO.{COPIES[0]}")
            return bool(info["state"]["messages"] >= count)

        await eventually(copied, "everything is copied", BOUND_SECONDS)
