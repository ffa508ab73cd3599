"""A process that forks after its client has started."""

import asyncio
import sys
from pathlib import Path

from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.local import ROOT
from tests.support.system import EVERYONE, driving, following, services

BOUND_SECONDS = 60


async def test_every_worker_and_the_parent_go_on_following(broker: Broker, tmp_path: Path) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await driver.save_gate("checkout")
        async with following(broker.url, "dev"):
            server = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "tests.integration.client.fork_app",
                    broker.url,
                    str(tmp_path / "cache"),
                ),
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
            )
            assert server.stdout
            async with asyncio.timeout(BOUND_SECONDS):
                assert await server.stdout.readline() == b"forked\n"

                await driver.save_gate("checkout", EVERYONE)
                lines = (await server.stdout.read()).decode().splitlines()
                code = await server.wait()

    assert sorted(lines) == ["child sees it", "child sees it", "parent sees it"]
    assert code == 0
