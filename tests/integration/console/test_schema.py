"""The API against its own OpenAPI document: valid requests conform to it, none ends in an internal error."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from sluiceway.contracts.commands import SavePipeline
from tests.support.catalogues import phase, pipeline
from tests.support.system import EVERYONE

from .conftest import Served

CONFIG = Path(__file__).parent / "schemathesis.toml"
EXAMPLES = 3
BOUND_SECONDS = 170
#: A stream has no end.
STREAMS = r"^/api/v1/events$"


@pytest.mark.full
@pytest.mark.timeout(BOUND_SECONDS + 10)
async def test_every_operation_conforms_to_its_description(served: Served, tmp_path: Path) -> None:
    await served.driver.accepted(SavePipeline, pipeline=pipeline(phase("dev", bake_ms=10**6)))
    await served.driver.save_gate("one", EVERYONE, releasePipelineID="prod-release")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
        *("run", f"{served.console.url}/openapi.json"),
        *("--header", f"STATSIG-API-KEY: {served.console.key}"),
        *("--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "7", "--workers", "1"),
        *("--exclude-path-regex", STREAMS, "--no-color", "--generation-database", "none"),
        cwd=tmp_path,
        env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(BOUND_SECONDS):
        output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()[-6_000:]
