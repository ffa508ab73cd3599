"""An edge serves on and says that it is stale, while nothing of a publisher reaches the broker beside it."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import NotFoundError

from services.edge import link_age
from services.evaluator_publisher import heartbeats
from services.evaluator_publisher.app import EvaluatorPublisher
from services.local.broker import HOST, EmbeddedBroker
from services.scheduler.app import Scheduler
from sluiceway.cli.broker_file import broker_config
from sluiceway.cli.current_state import read_reports
from sluiceway.contracts import subjects
from sluiceway.messaging.connection import connected
from sluiceway.messaging.jetstream_api import request_jetstream
from sluiceway.messaging.region_streams import copy_config
from sluiceway.settings import BrokerSettings
from tests.support import secured
from tests.support.catalogues import apply_catalogue, phase
from tests.support.edges import RunningEdge, create_key, running_edge
from tests.support.proxies import free_port
from tests.support.system import EVERYONE, driving, services
from tests.support.waiting import eventually

EVERY_SECONDS = 0.05
STALE_SECONDS = 1.0
BOUND_SECONDS = 30.0


@pytest.fixture(autouse=True)
def _frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "HEARTBEAT_EVERY_SECONDS", EVERY_SECONDS)
    monkeypatch.setattr(link_age, "STALE_AFTER_SECONDS", STALE_SECONDS)


async def link_of(running: RunningEdge) -> str | None:
    """Return what readiness says of the link: it is ready in any case."""
    answer = await running.http.get("/readyz")
    assert answer.status_code == 200
    page = answer.json()
    assert page["status"] == "ready"
    assert not page["missing"]
    warning: str | None = page.get("warnings", {}).get("link")
    return warning


async def is_served_as_stale(running: RunningEdge) -> bool:
    """Return whether a flag is served as one that may be old; it is served in any case."""
    flag = await running.flag("everywhere", targetingKey="ann")
    assert flag["value"] is True
    return bool(flag["reason"] == "STALE")


async def is_told(running: RunningEdge, text: str) -> None:
    async def look() -> bool:
        return text in (await link_of(running) or "")

    await eventually(look, f"readiness says: {text}", BOUND_SECONDS)
    assert running.edge.is_stale()
    assert await is_served_as_stale(running)


async def is_current(running: RunningEdge) -> None:
    async def look() -> bool:
        return await link_of(running) is None and not await is_served_as_stale(running)

    await eventually(look, "the edge is not stale", BOUND_SECONDS)


def has_heard(running: RunningEdge) -> bool:
    return running.edge._link._heard_at is not None


@contextmanager
def hub_and_leaf(tmp_path: Path) -> Iterator[tuple[EmbeddedBroker, EmbeddedBroker]]:
    """Run a broker, and a leaf of it that has no streams."""
    port = free_port()
    hub_config, leaf_config = tmp_path / "hub.conf", tmp_path / "leaf.conf"
    hub_config.write_text(
        f"jetstream {{domain: hub, store_dir: '{tmp_path / 'hub'}'}}\nleafnodes {{listen: '{HOST}:{port}'}}\n"
    )
    leaf_config.write_text(
        'mappings {"$JS.API.>": "$JS.hub.API.>"}\n'
        f"leafnodes {{reconnect: '100ms', remotes: [{{url: 'nats://{HOST}:{port}'}}]}}\n"
    )
    with (
        EmbeddedBroker(tmp_path / "h", config=hub_config) as hub,
        EmbeddedBroker(tmp_path / "l", config=leaf_config) as leaf,
    ):
        yield hub, leaf


async def test_behind_a_leaf_whose_hub_is_gone(tmp_path: Path) -> None:
    """The edge's own connection stays: it is one to the leaf."""
    with hub_and_leaf(tmp_path) as (hub, leaf):
        async with services(hub.url), driving(hub.url) as driver:
            await apply_catalogue(driver, phase("dev"))
            key = await create_key(driver, region="dev")
            await driver.save_gate("everywhere", EVERYONE)
            async with running_edge(leaf.url, "dev", tmp_path / "edge", key) as running:
                await eventually(lambda: running.edge.rules.check_gate({}, "everywhere"), "it has the rules")
                await eventually(lambda: has_heard(running), "it has heard a publisher")
                await is_current(running)

                hub.kill()
                await is_told(running, "stale: no word from a publisher for ")
                assert running.edge._connection
                assert running.edge._connection.client.is_connected

                hub.start()
                await is_current(running)
            hub.kill()
            async with running_edge(leaf.url, "dev", tmp_path / "edge", key, is_started=False) as restarted:
                await is_told(restarted, "stale: no word from a publisher since the start ")

                hub.start()
                await is_current(restarted)


class Copied:
    """An edge in the account of its region, and the hub."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    async def start(self) -> "Copied":
        self.secured = await self._stack.enter_async_context(secured.secured_system(self._folder))
        self.admin = await self.secured.admin()
        key = await create_key(self.admin, region="dev")
        await self.admin.save_gate("everywhere", EVERYONE)
        url = self.secured.url("edge-dev", "edge")
        running = running_edge(url, "dev", self._folder / "edge", key)
        self.running = await self._stack.enter_async_context(running)
        rules = self.running.edge.rules
        await eventually(lambda: rules.check_gate({}, "everywhere"), "it has the rules")
        await eventually(lambda: has_heard(self.running), "it has heard a publisher")
        return self

    async def stop(self, kind: type[Any]) -> None:
        """End a service."""
        for service in self.secured.services:
            if isinstance(service, kind):
                await service.__aexit__(None, None, None)


@pytest.fixture
async def copied(tmp_path: Path) -> AsyncIterator[Copied]:
    async with AsyncExitStack() as stack:
        yield await Copied(stack, tmp_path).start()


async def test_in_an_account_whose_copy_of_the_rules_gets_nothing_any_more(copied: Copied) -> None:
    await is_current(copied.running)
    await copied.stop(Scheduler)  # it would repair the copy
    settings = BrokerSettings(nats_url=copied.secured.url("scheduler", "scheduler"))
    async with connected(settings, "tests") as hub:
        requests = subjects.region_api("dev", "STREAM")
        config = copy_config(subjects.RULES_STREAM, subjects.RULES_STREAM, "dev", 1)
        config["mirror"]["external"]["api"] = "sluiceway.nowhere"
        await request_jetstream(hub.client, f"{requests}.DELETE.{subjects.RULES_STREAM}")
        await request_jetstream(hub.client, f"{requests}.CREATE.{subjects.RULES_STREAM}", config)

        await is_told(copied.running, "the copy of the rules, or the link to it, is down")


async def test_in_an_account_without_a_publisher(copied: Copied) -> None:
    await is_current(copied.running)

    await copied.stop(EvaluatorPublisher)

    await is_told(copied.running, "stale: no word from a publisher for ")


async def test_heartbeats_change_nothing_that_is_stored_or_served(copied: Copied) -> None:
    """So neither SDKs nor clients of any version notice them."""
    edge = copied.running.edge
    settings = BrokerSettings(nats_url=copied.secured.url("scheduler", "scheduler"))
    async with connected(settings, "tests") as hub:

        async def is_reported() -> bool:
            reports = (await read_reports(hub))["dev"]
            return any(report.sequence == edge.rules.position.sequence for report in reports)

        await eventually(is_reported, "the edge has reported what it has applied")
        payload, position = edge.feed.latest(), edge.rules.position
        ends = await stored_ends(hub.js)
        heard: set[float | None] = set()

        def many() -> bool:
            heard.add(edge._link._heard_at)
            return len(heard) > 10

        await eventually(many, "many heartbeats have come")

        assert edge.rules.position == position
        assert edge.feed.latest() is payload
        assert await stored_ends(hub.js) == ends


async def stored_ends(js: Any) -> dict[str, int]:
    """Return the last sequences of the streams that edges and clients read and write."""
    ends = {}
    for name in (subjects.RULES_STREAM, subjects.APPLIED_STREAM, subjects.REGIONS_STREAM):
        try:
            ends[name] = (await js.stream_info(name)).state.last_seq
        except NotFoundError:
            ends[name] = 0
    return ends


async def test_an_edge_beside_an_older_publisher_is_stale_unless_it_is_told_to_expect_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older one sends nothing."""
    monkeypatch.setattr(heartbeats.Heartbeats, "send", silent)
    with EmbeddedBroker(tmp_path / "broker") as broker:
        async with services(broker.url), driving(broker.url) as driver:
            await apply_catalogue(driver, phase("dev"))
            key = await create_key(driver, region="dev")
            await driver.save_gate("everywhere", EVERYONE)
            async with (
                running_edge(broker.url, "dev", tmp_path / "1", key) as told_nothing,
                running_edge(broker.url, "dev", tmp_path / "2", key, expect_heartbeats=False) as told,
            ):
                await is_told(told_nothing, "stale: no word from a publisher since the start ")
                await is_current(told)


async def silent(self: heartbeats.Heartbeats) -> None:
    """Send nothing."""


async def test_with_the_permissions_of_the_last_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All is served, the edge says that it knows nothing of its link, and the log what is denied, once."""
    monkeypatch.setattr(secured, "broker_config", older_broker_config)
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(secured.secured_system(tmp_path))
        admin = await system.admin()
        key = await create_key(admin, region="dev")
        await admin.save_gate("everywhere", EVERYONE)
        running = await stack.enter_async_context(
            running_edge(system.url("edge-dev", "edge"), "dev", tmp_path / "edge", key)
        )
        await eventually(lambda: running.edge.rules.check_gate({}, "everywhere"), "it has the rules")
        await eventually(lambda: len(complaints(caplog)) == 2, "both are told")
        await is_told(running, "the broker's permissions or all publishers are of an older version")
        for service in system.services:
            assert await service.readiness() == {}

    assert len(complaints(caplog)) == 2


def older_broker_config(*arguments: Any) -> str:
    """Return a configuration without heartbeats."""
    lines = broker_config(*arguments).splitlines()
    lines = [re.sub(r', "sluiceway\.heartbeats\.[^"]*"', "", line) for line in lines]
    return "\n".join(line for line in lines if "heartbeats" not in line)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log says of heartbeats that are not allowed."""
    return [text for text in map(str, caplog.messages) if "sluiceway.heartbeats" in text]
