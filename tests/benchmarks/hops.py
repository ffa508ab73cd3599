"""A pause, a save and alerts, while many other triggers are active."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from sluiceway.contracts.commands import PauseTrigger
from sluiceway.contracts.events import EventType
from tests.support.system import EVERYONE, Driver

from .active_triggers import PIPELINES, active_triggers, team
from .event_writer import append_events
from .log_listener import LogListener, listening
from .measure import Samples, timed

ROUNDS = 30


@dataclass(frozen=True)
class Hops:
    """How long each took."""

    pause: Samples = field(default_factory=Samples)
    save: Samples = field(default_factory=Samples)
    #: From the alert until the broker has the roll-back; named by its gate, or by a label of its pipeline.
    alert_of_gate: Samples = field(default_factory=Samples)
    alert_of_label: Samples = field(default_factory=Samples)


async def measure_hops(driver: Driver) -> Hops:
    """Measure each on releases of its own; no other release has the pipeline whose label is used."""
    hops, run = Hops(), uuid4().hex[:8]
    async with listening(driver.connection) as listener:
        for gate in await _release(driver, f"hop-{run}", range(PIPELINES)):
            pause = PauseTrigger(actor="bench", trigger=f"gate.{gate}.1", phase_id="free")
            await timed(hops.pause, lambda pause=pause: driver.commands.send(pause))  # type: ignore[misc]
            await timed(hops.save, lambda gate=gate: driver.save_gate(f"new-{gate}", EVERYONE))  # type: ignore[misc]
            await _alert(driver, listener, hops.alert_of_gate, gate, {"gate": gate})
        for turn in range(ROUNDS):
            gates = await _release(driver, f"label-{run}-{turn}", [PIPELINES], count=1)
            labels = {"team": team(PIPELINES), "severity": "page"}
            await _alert(driver, listener, hops.alert_of_label, gates[0], labels)
    return hops


async def _release(driver: Driver, name: str, pipelines: Sequence[int], count: int = ROUNDS) -> Sequence[str]:
    """Return new gates whose releases are active, and published."""
    gates = [f"{name}-{n}" for n in range(count)]
    await append_events(driver.connection, active_triggers(gates, pipelines=pipelines))
    for gate in gates:
        await driver.published(gate, "prod")
    return gates


async def _alert(
    driver: Driver, listener: LogListener, samples: Samples, gate: str, labels: Mapping[str, str]
) -> None:
    begin = time.perf_counter()
    await driver.alert("Boom", **labels)
    stored = await listener.wait(gate, EventType.TRIGGER_ROLLED_BACK)
    samples.milliseconds.append((stored.heard - begin) * 1_000)
