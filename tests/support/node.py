"""Clients for Node, unmodified: their packages, and scripts that print what they see."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from .local import ROOT

SCRIPTS = ROOT / "tests" / "e2e" / "node"
#: Kept between runs; nothing of it belongs to the tree.
FOLDER = ROOT / ".cache" / "node"
INSTALL_SECONDS = 100
BOUND_SECONDS = 30


def installed_packages() -> Path:
    """Return the folder with the packages in it; they are installed once. Skips the test without npm."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("needs node and npm on the PATH")
    wanted, installed = SCRIPTS / "package.json", FOLDER / "node_modules" / ".installed.json"
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        FOLDER.mkdir(parents=True, exist_ok=True)
        shutil.copy(wanted, FOLDER)
        try:
            install = (npm, "install", "--no-audit", "--no-fund", "--loglevel", "error")
            subprocess.run(install, cwd=FOLDER, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"npm cannot install the packages of {wanted} here: {error}")
        shutil.copy(wanted, installed)
    return FOLDER


class Script:
    """A running script that prints a line of JSON whenever a value changes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def value(self) -> Any:
        """Return the next value."""
        assert self._process.stdout
        async with asyncio.timeout(BOUND_SECONDS):
            line = await self._process.stdout.readline()
        return json.loads(line)["value"]


@asynccontextmanager
async def running_script(name: str, *arguments: str, **environment: str) -> AsyncIterator[Script]:
    """Run a script until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(SCRIPTS / name), *arguments),
        cwd=await asyncio.to_thread(installed_packages),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        yield Script(process)
    finally:
        assert process.stdin
        process.stdin.close()
        await asyncio.wait_for(process.wait(), BOUND_SECONDS)
