"""How often phases that stay due are checked again."""

import asyncio
from typing import Any, NamedTuple

from services.monitor.due_phases import RECHECK_MS, RECHECKS_PER_SECOND, DuePhases
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.tasks import cancel_and_wait
from tests.support.builders import NOW
from tests.support.waiting import eventually


class DueEntry(NamedTuple):
    key: FeatureKey
    sequence: int = 1
    due_ms: int = NOW


class FakeViews:
    """The log, the measurements and the guardrails of a monitor: each release has one, without a round."""

    def __init__(self, count: int) -> None:
        keys = [FeatureKey(FeatureKind.GATE, f"f{number}") for number in range(count)]
        self.entries = {key: DueEntry(key) for key in keys}
        self.checks = 0

    def get(self, key: FeatureKey) -> DueEntry | None:
        return self.entries.get(key)

    async def catch_up(self) -> None:
        self.checks += 1

    def of_feature(self, key: FeatureKey) -> tuple[str, ...]:
        return ("errors",)

    def last_round(self, active: object) -> None:
        return None


async def rechecks(count: int) -> list[int]:
    """Return after which time each of so many due phases is checked again."""
    views: Any = FakeViews(count)
    due_phases = DuePhases(views, views, views, views, lambda: NOW, workers=10)
    for entry in views.entries.values():
        due_phases.schedule(entry)
    running = asyncio.create_task(due_phases.run())
    timers = due_phases._timers
    await eventually(lambda: views.checks == count and len(timers) == count, "each is checked once")
    await cancel_and_wait(running)
    return sorted(at_ms - NOW for at_ms, number in timers._heap if number in timers._items)


async def test_few_due_phases_are_checked_again_soon() -> None:
    assert set(await rechecks(10)) == {RECHECK_MS}


async def test_many_due_phases_are_checked_again_at_a_bounded_rate() -> None:
    count = RECHECKS_PER_SECOND * 6

    waits = await rechecks(count)

    assert waits[-1] == 6_000
    assert sum(5_000 <= wait < 6_000 for wait in waits) == RECHECKS_PER_SECOND
