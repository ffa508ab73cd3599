"""What a process logs while its broker is away: what changes, and no line for each attempt."""

import asyncio
import logging

import pytest

from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, driving
from tests.support.waiting import eventually

DUE = 40
#: Of the kinds of lines, some for each of the connections.
LINES_MAX = 30


async def test_a_scheduler_with_many_due_phases_logs_few_lines_while_its_broker_is_away(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Scheduler(Settings(nats_url=broker.url)), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=1))
        gates = [f"gate-{number}" for number in range(DUE)]
        await asyncio.gather(
            *(driver.save_gate(gate, EVERYONE, releasePipelineID=PIPELINE) for gate in gates)
        )
        # Nobody runs who could clear them.
        await eventually(lambda: caplog.text.count("phase_held by") == DUE, "all are due, and held")
        caplog.clear()

        broker.kill()
        await eventually(lambda: "no clearance for gate.gate-" in caplog.text, "an attempt has failed")
        lines = [record.getMessage() for record in caplog.records]
        broker.start()

        assert len(lines) <= LINES_MAX, lines
        await eventually(lambda: "reconnected to the broker" in caplog.text, "it goes on", 30)
