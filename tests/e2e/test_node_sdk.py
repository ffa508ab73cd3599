"""The unmodified official SDK for Node at an edge follows a release and its rollback."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.local import ROOT, local_system, sluiceway

HERE = Path(__file__).parent / "node"
#: Kept between runs; nothing of it belongs to the tree.
FOLDER = ROOT / ".cache" / "node"
INSTALL_SECONDS = 100
BOUND_SECONDS = 30
CHANGE = "deploy/examples/changes/new_checkout.yaml"


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder with the SDK in it, installed once."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("needs node and npm on the PATH")
    if not (FOLDER / "node_modules" / "@statsig").is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", FOLDER)
        try:
            install = (npm, "install", "--no-audit", "--no-fund", "--loglevel", "error")
            subprocess.run(install, cwd=FOLDER, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"npm cannot install @statsig/statsig-node-core here: {error}")
    return FOLDER


async def test_the_node_sdk_follows_a_release_and_its_rollback(tmp_path: Path, packages: Path) -> None:
    async with local_system(tmp_path) as system:
        url = system.nats_url
        _, key, _ = await sluiceway(url, "key", "create", "--region", "dev")
        edge = system.processes()["edge-dev"]["http"]
        follower = await asyncio.create_subprocess_exec(
            *("node", str(HERE / "follow.mjs"), edge, key.strip(), "new_checkout"),
            cwd=packages,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # The SDK posts its own faults to a fixed address elsewhere.
            env={**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9"},
        )
        assert follower.stdin
        assert follower.stdout

        async def answer() -> bool:
            async with asyncio.timeout(BOUND_SECONDS):
                line = await follower.stdout.readline()  # type: ignore[union-attr]
            return bool(json.loads(line)["value"])

        try:
            before = await answer()
            await sluiceway(url, "apply", "-f", CHANGE)
            released = await answer()
            await sluiceway(url, "alert", "fire", "CheckoutErrors", "--label", "gate=new_checkout")
            reverted = await answer()
        finally:
            follower.stdin.close()
            await asyncio.wait_for(follower.wait(), BOUND_SECONDS)

    assert (before, released, reverted) == (False, True, False)
