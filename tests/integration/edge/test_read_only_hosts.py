"""An edge runs where nothing is writable: it logs that once for each file, and serves without a copy."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.edges import create_key
from tests.support.http import http_client
from tests.support.local import ROOT
from tests.support.system import EVERYONE, driving, services
from tests.support.waiting import eventually

#: Nobody can make a folder in it, not even root.
UNWRITABLE = "/dev/null/edges"


async def test_an_edge_serves_where_nothing_is_writable(broker: Broker, tmp_path: Path) -> None:
    announced, log = tmp_path / "url", tmp_path / "log"
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await driver.save_gate("a", EVERYONE)
        key = await create_key(driver, region="dev")
        with _edge_process(broker.url, announced, log) as process:
            await eventually(announced.exists, "the edge listens")
            async with http_client(
                base_url=announced.read_text().strip(), headers={"x-api-key": key}, timeout=15
            ) as http:

                async def passes() -> bool:
                    path = "/ofrep/v1/evaluate/flags/a"
                    answer = await http.post(path, json={"context": {"targetingKey": "u"}})
                    return bool(answer.json().get("value"))

                await eventually(passes, "it serves the rules")
            process.terminate()
            assert await asyncio.to_thread(process.wait, 30) == 0

    lines = [line for line in log.read_text().splitlines() if UNWRITABLE in line]
    assert len(lines) == 2, lines  # the rules and the keys
    assert all("going on without" in line for line in lines)
    assert "Traceback" not in log.read_text()


@contextmanager
def _edge_process(nats_url: str, announced: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    settings = {
        "NATS_URL": nats_url,
        "REGION": "dev",
        "HTTP_PORT": "0",
        "HTTP_ANNOUNCE": str(announced),
        "SNAPSHOT_DIR": UNWRITABLE,
    }
    environment = {**os.environ, **{f"SLUICEWAY_{name}": value for name, value in settings.items()}}
    with log.open("wb") as opened:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.edge"],
            cwd=ROOT,
            env=environment,
            stdout=opened,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
