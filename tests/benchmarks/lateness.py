"""How late phases are left: spread over time, and all due in the same instant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from sluiceway.clock import now_ms
from sluiceway.contracts.events import EventType
from tests.support.system import Driver

from .active_triggers import active_triggers
from .event_writer import append_events
from .log_listener import listening
from .measure import Samples
from .usage import Computed

DUE = 1_000
PER_SECOND = 100
#: For the publisher to write the rules of the phases before the first is due; they may not be left before.
LEAD_MS = 20_000


@dataclass(frozen=True)
class Lateness:
    """From the end of a bake until the broker has stored that it was left."""

    late: Samples
    #: For each phase.
    computed: Computed


async def spread(driver: Driver, pids: Mapping[str, int]) -> Lateness:
    """Let phases become due evenly."""
    begin = now_ms() + LEAD_MS
    return await _late(driver, pids, [begin + n * 1_000 // PER_SECOND for n in range(DUE)])


async def burst(driver: Driver, pids: Mapping[str, int]) -> Lateness:
    """Let all phases become due in the same instant."""
    return await _late(driver, pids, [now_ms() + LEAD_MS] * DUE)


async def _late(driver: Driver, pids: Mapping[str, int], due_ms: Sequence[int]) -> Lateness:
    names = [f"due-{uuid4().hex[:8]}-{n}" for n in range(len(due_ms))]
    samples, computed = Samples(), Computed(pids, operations=len(names))
    async with listening(driver.connection) as listener:
        await append_events(driver.connection, active_triggers(names, due_ms))
        await driver.published(names[-1], "prod", LEAD_MS / 1_000)
        assert now_ms() < due_ms[0], "the rules were published after the first phase was due"
        with computed.counting():
            for name, due in zip(names, due_ms, strict=True):
                left = await listener.wait(name, EventType.PHASE_ADVANCED, after_ms=due)
                samples.milliseconds.append(left.stored_ms - due)
    return Lateness(samples, computed)
