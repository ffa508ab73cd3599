"""A region behind a leaf node, with the intervals in use: its link is down, or a broker of the hub is."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.edge.link_age import STALE_AFTER_SECONDS
from tests.support.broker_forms import (
    Production,
    is_one_cluster,
    leaf_broker,
    loopback_hosts,
    production,
    write_config,
)
from tests.support.catalogues import apply_catalogue
from tests.support.edges import create_key, running_edge
from tests.support.leaves import edge_behind, has, leaf_system, saved, saved_by, worst_repetition
from tests.support.waiting import eventually

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]
DOWN_SECONDS = 40.0
#: Without a consumer that exists, this took 13 to 40 s.
CAUGHT_UP_SECONDS = 12.0


@pytest.mark.parametrize("how", ["cut", "swallow"])
async def test_an_edge_whose_link_is_down_for_40_seconds_serves_and_is_current_soon_after(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with leaf_system(tmp_path) as system, edge_behind(system, tmp_path) as running:
        await eventually(lambda: not running.edge.is_stale(), "it is current")
        caplog.clear()
        caplog.set_level(logging.INFO)
        down_at = time.monotonic()
        getattr(system.link, how)()
        await saved(system, "later")
        stale_after = None
        while (passed := time.monotonic() - down_at) < DOWN_SECONDS:
            answer = await running.http.get("/readyz")
            assert answer.status_code == 200
            assert (await running.flag("everywhere", targetingKey="ann"))["value"] is True
            if stale_after is None and "link" in answer.json().get("warnings", {}):
                stale_after = passed
            await asyncio.sleep(0.5)
        assert not running.edge.rules.check_gate({}, "later")
        lines = worst_repetition(caplog)

        back_at = time.monotonic()
        system.link.restore()
        await has(running, "later")
        caught_up_after = time.monotonic() - back_at
        await eventually(lambda: not running.edge.is_stale(), "it is current")

    print(f"{how}: stale after {stale_after:.1f} s, caught up after {caught_up_after:.1f} s")
    assert stale_after is not None
    assert STALE_AFTER_SECONDS - 4 < stale_after < 2 * STALE_AFTER_SECONDS
    assert caught_up_after < CAUGHT_UP_SECONDS
    assert lines == 1


async def test_a_leaf_node_goes_on_while_brokers_of_a_cluster_are_killed(tmp_path: Path) -> None:
    """Each of three in turn, which leads copies or what is read of them, and to which it may be linked."""
    hosts, hub_folder = loopback_hosts(3), tmp_path / "hub"
    await write_config(hub_folder, *(f"--cluster={host}" for host in hosts))
    with production(hub_folder, hosts) as hub:
        await is_one_cluster(hub)
        async with AsyncExitStack() as stack:
            for service in hub.services(tmp_path):
                await stack.enter_async_context(service)
            admin = await stack.enter_async_context(hub.admin())
            await apply_catalogue(admin)
            key = await create_key(admin, region="dev")
            leaf = stack.enter_context(await leaf_broker(tmp_path, hub))
            settings = Production((leaf,), tmp_path / "secrets").settings("edge-dev")
            running = await stack.enter_async_context(
                running_edge(region="dev", folder=tmp_path / "edge", key=key, **settings)
            )
            for number, broker in enumerate(hub.brokers):
                broker.kill()
                await saved_by(admin, f"without{number}")
                await has(running, f"without{number}")
                await asyncio.to_thread(broker.start)
                await saved_by(admin, f"with{number}")
                await has(running, f"with{number}")
                await is_one_cluster(hub)
            assert all(running.edge.rules.check_gate({}, f"without{number}") for number in range(3))
