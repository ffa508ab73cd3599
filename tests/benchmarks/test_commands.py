"""One command, and many at the same time, against a scheduler in plain nats-py (`tests.benchmarks.raw`).

Raw: request → conditional append of an event of the same size → reply. Nothing is read before: the append
proves what the scheduler remembers. The sides take turns.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from services.local.broker import EmbeddedBroker
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import PauseTrigger, UnpauseTrigger
from sluiceway.contracts.feature import ACTIONS_MAX
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import Outcome
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.connection import Connection
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving

from .measure import Line, Rates, Samples, record_lines, record_rates, show, show_computed, show_rates, timed
from .payloads import size_bytes
from .processes import Program, program, started
from .raw import streams
from .usage import Computed

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

TRIGGERS = 100
ROUNDS = 5
FEATURES = 30
TURNS = 5
TURN_SECONDS = 1.0

#: Sends the next command about one feature.
Send = Callable[[], Awaitable[None]]


async def test_one_command(broker: Broker, tmp_path: Path) -> None:
    async with started(broker.url, tmp_path, "scheduler"), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=10**9))
        ours, raw = Samples(), Samples()
        triggers = [await _releasing(driver, f"one{n}") for n in range(TRIGGERS)]
        async with _raw_scheduler(driver, broker.url, "one0"):
            for trigger in triggers:
                send, send_raw = _ours(driver.connection, trigger), _raw(driver.connection, trigger)
                await send_raw()  # saves, as ours has
                for _ in range(2 * ROUNDS):
                    await timed(ours, send)
                    await timed(raw, send_raw)

    lines = [Line("one command, answered", ours, raw)]
    show("Pause and unpause", lines)
    record_lines(lines)


async def test_commands_per_second(broker: EmbeddedBroker, tmp_path: Path) -> None:
    async with started(broker.url, tmp_path, "scheduler") as services, driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=10**9))
        triggers = [await _releasing(driver, f"checkout{n}") for n in range(FEATURES)]
        ours = [_ours(driver.connection, trigger) for trigger in triggers]
        raw = [_raw(driver.connection, trigger) for trigger in triggers]
        await asyncio.gather(*map(_fill_history, ours))
        async with _raw_scheduler(driver, broker.url, "checkout0") as raw_scheduler:
            pids = {"client": os.getpid(), "broker": broker.pid or 0}
            computed = Computed({**pids, "scheduler": services["scheduler"].pid})
            raw_computed = Computed({**pids, "scheduler": raw_scheduler.process.pid})
            one = await _rates("one scheduler", ours, raw, computed, raw_computed)
            async with started(broker.url, tmp_path / "second", "scheduler"):
                two = await _rates("two schedulers", ours, raw, Computed(pids), Computed(pids))

    show_rates("Commands per second (raw: one scheduler)", [one, two])
    show_computed("A command, with one scheduler", computed, raw_computed)
    record_rates([one, two])


async def _rates(
    schedulers: str, ours: list[Send], raw: list[Send], computed: Computed, raw_computed: Computed
) -> Rates:
    rates = Rates(f"{FEATURES} commands at the same time, {schedulers}")
    for sends in (ours, raw):  # a first round does not count
        await _per_second(sends, Computed({}))
    for _ in range(TURNS):
        rates.ours.append(await _per_second(ours, computed))
        rates.raw.append(await _per_second(raw, raw_computed))
    return rates


async def _per_second(sends: list[Send], computed: Computed) -> float:
    begin, sent = time.perf_counter(), count()
    end = begin + TURN_SECONDS

    async def work(send: Send) -> None:
        while time.perf_counter() < end:
            await send()
            next(sent)

    with computed.counting():
        await asyncio.gather(*map(work, sends))
    commands = next(sent)
    computed.operations += commands
    return commands / (time.perf_counter() - begin)


async def _fill_history(send: Send) -> None:
    """Let a release have all actions that it keeps, so that its events grow no more."""
    for _ in range(ACTIONS_MAX):
        await send()


async def _releasing(driver: Driver, name: str) -> str:
    reply = await driver.save_gate(name, EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


def _ours(connection: Connection, trigger: str) -> Send:
    """Pause and unpause in turn, as one sender among many."""
    client, turn = CommandClient(connection), count()

    async def send() -> None:
        verb = UnpauseTrigger if next(turn) % 2 else PauseTrigger
        reply = await client.send(verb(actor="bench", trigger=trigger, phase_id="dev"))
        assert reply.outcome is Outcome.ACCEPTED, reply

    return send


def _raw(connection: Connection, trigger: str) -> Send:
    command = PauseTrigger(actor="bench", trigger=trigger, phase_id="dev")
    data = trigger.split(".")[1].encode().ljust(len(command.to_json()))

    async def send() -> None:
        await connection.client.request(streams.COMMANDS, data, timeout=5)

    return send


@asynccontextmanager
async def _raw_scheduler(driver: Driver, url: str, gate: str) -> AsyncIterator[Program]:
    """Run a raw scheduler whose events are as large as the last one of `gate`."""
    js, subject = driver.connection.js, subjects.feature(FeatureKey(FeatureKind.GATE, gate))
    event = await js.get_last_msg(subjects.FEATURES_STREAM, subject)
    await streams.declare(js)
    async with program("raw.scheduler", url, size_bytes(event)) as scheduler:
        yield scheduler
