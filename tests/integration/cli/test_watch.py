"""`sluiceway watch`: what it shows, and when it exits."""

import asyncio
import json
import signal
from asyncio.subprocess import Process

import pytest

from sluiceway.contracts.commands import AbortTrigger, PauseTrigger, RollOutTrigger, UnpauseTrigger
from tests.support.brokers import Broker
from tests.support.cli.calls import BOUND_SECONDS, Cli
from tests.support.system import Driver, following

from .documents import CATALOGUE, RELEASE

TRIGGER = "gate.checkout.1"


@pytest.fixture
async def released(cli: Cli, driver: Driver) -> Cli:
    await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{RELEASE}")
    return cli


async def test_it_exits_when_the_trigger_ends_and_shows_the_outcome(released: Cli, driver: Driver) -> None:
    async with released.running("watch", TRIGGER, "--until-ended") as watching:
        lines = [await _first_line(watching, driver)]
        await driver.act(RollOutTrigger, TRIGGER, reason="all is well")

        out, error = await _end_of(watching)

    lines += out.splitlines()
    assert (watching.returncode, error) == (0, "")
    assert lines[-1].endswith("trigger_rolled_out gate.checkout.1 COMPLETED dev by ada (all is well)")


@pytest.mark.parametrize("ended_before", [False, True])
async def test_a_release_that_was_reverted_is_a_failure(
    released: Cli, driver: Driver, ended_before: bool
) -> None:
    if ended_before:
        await driver.act(AbortTrigger, TRIGGER)
        await released.succeeds("apply", "-f", "-", stdin=RELEASE)
    async with released.running("watch", TRIGGER, "--until-ended", "--json") as watching:
        if not ended_before:
            await _first_line(watching, driver)
            await driver.act(AbortTrigger, TRIGGER)

        out, _ = await _end_of(watching)

    assert watching.returncode == 1
    assert ended_before or json.loads(out.splitlines()[-1])["type"] == "trigger_aborted"


async def test_ctrl_c_exits(released: Cli, driver: Driver) -> None:
    async with released.running("watch") as watching:
        await _first_line(watching, driver)
        watching.send_signal(signal.SIGINT)

        _, error = await _end_of(watching)

    assert (watching.returncode, error) == (0, "")


async def test_it_shows_what_a_region_has_applied(released: Cli, driver: Driver, broker: Broker) -> None:
    async with following(broker.url, "dev"), released.running("watch", TRIGGER) as watching:
        await _first_line(watching, driver)
        await driver.act(AbortTrigger, TRIGGER)

        assert watching.stdout
        async with asyncio.timeout(BOUND_SECONDS):
            while b" dev applied gate.checkout revision " not in (line := await watching.stdout.readline()):
                assert line, "it ended"


async def test_it_exits_when_its_output_is_closed(released: Cli, driver: Driver) -> None:
    async with released.running("watch", "--json") as watching:
        await _first_line(watching, driver)
        assert watching.stdout
        watching.stdout._transport.close()  # type: ignore[attr-defined]
        await driver.act(AbortTrigger, TRIGGER)

        async with asyncio.timeout(BOUND_SECONDS):
            assert await watching.wait() == 0


async def test_it_exits_when_the_broker_disconnects(released: Cli, driver: Driver, broker: Broker) -> None:
    async with released.running("watch") as watching:
        await _first_line(watching, driver)
        broker.kill()

        _, error = await _end_of(watching)
        broker.start()

    assert watching.returncode == 1
    assert error == f"sluiceway: lost the connection to the broker at {broker.url}\n"


async def _first_line(watching: Process, driver: Driver) -> str:
    """Return its first line; until then, pause and unpause the trigger."""
    assert watching.stdout
    reading = asyncio.ensure_future(watching.stdout.readline())
    async with asyncio.timeout(BOUND_SECONDS):
        while not reading.done():
            await driver.act(PauseTrigger, TRIGGER)
            await driver.act(UnpauseTrigger, TRIGGER)
            await asyncio.wait({reading}, timeout=0.05)
    line = reading.result().decode()
    assert line, "it ended immediately"
    return line


async def _end_of(watching: Process) -> tuple[str, str]:
    async with asyncio.timeout(BOUND_SECONDS):
        out, error = await watching.communicate()
    return out.decode(), error.decode()
