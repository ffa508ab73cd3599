"""The examples of the README and the pages, run as a reader would run them: page by page, in their order."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.local.up import CATALOGUE, apply_to
from sluiceway.cli.main import app
from sluiceway.contracts.feature import TriggerStatus
from tests.support.brokers import Broker
from tests.support.cli.calls import Cli
from tests.support.consoles import running_console
from tests.support.documents import PAGES, README, ROOT, CodeBlock, blocks
from tests.support.edges import create_key, running_edge
from tests.support.prometheus import stub_prometheus
from tests.support.system import Driver, driving, services

REGION = "prod-eu"
#: What a reader replaces by an address and a key.
EDGE, PROMETHEUS, KEY = "http://127.0.0.1:8080", "http://127.0.0.1:9090", "secret-…"
#: What the example's Prometheus returns: enough samples, few errors.
SAMPLES, ERROR_RATIO = 500.0, 0.01
BOUND_SECONDS = 20.0
RUN = {page: [block for block in blocks(page, "sh", "python") if block.is_run] for page in PAGES}


@dataclass(frozen=True)
class RunningSystem:
    """All services, with the example catalogue saved."""

    cli: Cli
    driver: Driver
    #: What a Python example finds in its environment.
    environment: Mapping[str, str]
    #: Text of an example → what a reader would write there.
    replaced: Mapping[str, str]

    def fill_in(self, text: str) -> str:
        """Return an example with the addresses and the key of this system."""
        for example, real in self.replaced.items():
            text = text.replace(example, real)
        return text


@pytest.fixture
async def system(broker: Broker, tmp_path: Path) -> AsyncIterator[RunningSystem]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(services(broker.url))
        driver = await stack.enter_async_context(driving(broker.url))
        await apply_to(broker.url, CATALOGUE)
        key = await create_key(driver, region=REGION)
        edge = await stack.enter_async_context(running_edge(broker.url, REGION, tmp_path / "edge", key))
        console = await stack.enter_async_context(running_console(broker.url, tmp_path))
        prometheus = await stack.enter_async_context(stub_prometheus())
        prometheus.answer = lambda query: SAMPLES if "increase(" in query else ERROR_RATIO
        environment = {
            "SLUICEWAY_NATS_URL": broker.url,
            "CONSOLE_URL": console.url,
            "CONSOLE_KEY": console.key,
        }
        yield RunningSystem(
            Cli(broker.url), driver, environment, {EDGE: edge.url, PROMETHEUS: prometheus.url, KEY: key}
        )


@pytest.mark.parametrize(
    "page", [page for page in PAGES if RUN[page]], ids=lambda page: str(page.relative_to(ROOT))
)
async def test_the_examples_of_a_page_work(page: Path, system: RunningSystem) -> None:
    for block in RUN[page]:
        if block.language == "python":
            await _run_python(block, system)
        else:
            await _run_shell(block, system)
    if page == README:
        await system.driver.reaches("gate.new_checkout.1", TriggerStatus.COMPLETED)
        await system.driver.reaches("dynamic_config.checkout_limits.1", TriggerStatus.ROLLED_BACK)


async def _run_shell(block: CodeBlock, system: RunningSystem) -> None:
    for _, *words in block.commands():
        arguments = [system.fill_in(word) for word in words]
        if arguments == ["watch"]:
            await _watch_until_review(system.cli)
            continue
        result = await asyncio.to_thread(
            CliRunner().invoke, app, arguments, env={**system.environment, "SLUICEWAY_ACTOR": "ada"}
        )
        assert result.exit_code == 0, (str(block), arguments, result.output)


async def _watch_until_review(cli: Cli) -> None:
    """Watch as a reader does: until a release waits for its review."""
    async with cli.running("watch") as process, asyncio.timeout(BOUND_SECONDS):
        assert process.stdout
        async for line in process.stdout:
            if TriggerStatus.WAITING_FOR_REVIEW.encode() in line:
                return
    raise AssertionError("watch ended before a release waited for its review")


async def _run_python(block: CodeBlock, system: RunningSystem) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", system.fill_in(block.text)),
        env={**os.environ, **system.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            assert process.stdout
            first = await process.stdout.readline()
            if not block.is_endless:
                _, error = await process.communicate()
                assert process.returncode == 0, (str(block), error.decode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert first, f"{block} printed nothing"
