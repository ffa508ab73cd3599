"""How late phases are left: spread over time, and all due in the same instant."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from sluiceway.clock import now_ms
from sluiceway.contracts.events import EventType
from tests.support.system import Driver

from .active_triggers import active_triggers
from .event_writer import append_events
from .log_listener import listening
from .measure import Samples
from .service_starts import RunningService

DUE = 1_000
PER_SECOND = 100
#: For the publisher to write the rules of the phases before the first is due; they may not be left before.
LEAD_MS = 10_000


@dataclass(frozen=True)
class Lateness:
    """From the end of a bake until the broker has stored that it was left."""

    late: Samples
    #: Milliseconds of a core per phase, by service.
    computed: dict[str, float]


async def spread(driver: Driver, services: Sequence[RunningService]) -> Lateness:
    """Let phases become due evenly."""
    begin = now_ms() + LEAD_MS
    return await _late(driver, services, [begin + n * 1_000 // PER_SECOND for n in range(DUE)])


async def burst(driver: Driver, services: Sequence[RunningService]) -> Lateness:
    """Let all phases become due in the same instant."""
    return await _late(driver, services, [now_ms() + LEAD_MS] * DUE)


async def _late(driver: Driver, services: Sequence[RunningService], due_ms: Sequence[int]) -> Lateness:
    names = [f"due-{uuid4().hex[:8]}-{n}" for n in range(len(due_ms))]
    samples = Samples()
    async with listening(driver.connection) as listener:
        await append_events(driver.connection, active_triggers(names, due_ms))
        await driver.published(names[-1], "prod")
        assert now_ms() < due_ms[0], "the rules were published after the first phase was due"
        usages = {service.name: service.usage for service in services}
        for name, due in zip(names, due_ms, strict=True):
            left = await listener.wait(name, EventType.PHASE_ADVANCED, after_ms=due)
            samples.milliseconds.append(left.stored_ms - due)
    for usage in usages.values():
        usage.look()
    computed = {name: usage.computed_seconds * 1_000 / len(names) for name, usage in usages.items()}
    return Lateness(samples, computed)
