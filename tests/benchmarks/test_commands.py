"""One command, and many at once, against what they cannot do without: read last, conditional write."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from sluiceway.contracts.commands import PauseTrigger, UnpauseTrigger
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.publishing import EXPECTED_LAST
from tests.benchmarks.measure import Line, Samples, show, timed
from tests.benchmarks.processes import started
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving

pytestmark = pytest.mark.benchmark

TRIGGERS = 100
ROUNDS = 5
FEATURES = 30
SECONDS = 3.0


async def test_one_command(broker: Broker, tmp_path: Path) -> None:
    async with started(broker.url, tmp_path, "scheduler"), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=10**9))
        ours, raw = Samples(), Samples()
        for n in range(TRIGGERS):
            trigger = await _releasing(driver, f"one{n}")
            raw_subject, payload = await _raw(driver.connection, f"one{n}")
            for verb in (PauseTrigger, UnpauseTrigger) * ROUNDS:
                command = verb(actor="bench", trigger=trigger, phase_id="dev")
                await timed(ours, partial(driver.commands.send, command))
                await timed(raw, partial(_read_and_write, driver.connection, raw_subject, payload))

        show("One command, answered (raw: read last, conditional write)", [Line("pause, unpause", ours, raw)])


async def test_commands_per_second(broker: Broker, tmp_path: Path) -> None:
    async with started(broker.url, tmp_path, "scheduler"), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=10**9))
        triggers = [await _releasing(driver, f"checkout{n}") for n in range(FEATURES)]
        raws = [await _raw(driver.connection, f"checkout{n}") for n in range(FEATURES)]

        async def ours(n: int, turn: int) -> None:
            verb = UnpauseTrigger if turn % 2 else PauseTrigger
            await driver.commands.send(verb(actor="bench", trigger=triggers[n], phase_id="dev"))

        async def raw(n: int, turn: int) -> None:
            await _read_and_write(driver.connection, *raws[n])

        figures = {name: await _per_second(run) for name, run in (("ours", ours), ("raw", raw))}
        print(
            f"\nCommands per second, {FEATURES} at once: ours {figures['ours']:.0f}, "
            f"raw {figures['raw']:.0f}, ratio raw/ours {figures['raw'] / figures['ours']:.2f}"
        )


async def _per_second(run) -> float:  # type: ignore[no-untyped-def]
    end = time.perf_counter() + SECONDS
    counts = [0] * FEATURES

    async def work(n: int) -> None:
        while time.perf_counter() < end:
            await run(n, counts[n])
            counts[n] += 1

    await asyncio.gather(*(work(n) for n in range(FEATURES)))
    return sum(counts) / SECONDS


async def _releasing(driver: Driver, name: str) -> str:
    reply = await driver.save_gate(name, EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


async def _raw(connection: Connection, gate: str) -> tuple[str, bytes]:
    """Give the raw side a subject in the same stream, and a payload of the same size."""
    message = await connection.js.get_last_msg("FEATURES", f"sluiceway.features.gate.{gate}", direct=True)
    return f"sluiceway.features.raw.{gate}", message.data or b""


async def _read_and_write(connection: Connection, subject: str, payload: bytes) -> None:
    try:
        last = (await connection.js.get_last_msg("FEATURES", subject, direct=True)).seq
    except NotFoundError:
        last = 0
    await connection.js.publish(subject, payload, headers={EXPECTED_LAST: str(last)})
