"""An endless attack at full speed, from a process of its own, delays nobody else's abort.

Figures depend on the machine, so each attack is compared with the same aborts without it.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from sluiceway.contracts.commands import AbortTrigger
from tests.support.processes import ROOT
from tests.support.secured import Secured
from tests.support.system import Driver

from .conftest import ONCALL
from .releases import releases
from .worst_input import WORST_INPUT, WorstInput

pytestmark = [pytest.mark.hostile, pytest.mark.full, pytest.mark.asyncio(loop_scope="module")]
#: Aborts that are measured, each of another release.
ABORTS = 100
#: Between them, so that they take as long as the attack needs to grow.
PAUSE_SECONDS = 0.02
DELAY_MS_MAX = 100.0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("worst", WORST_INPUT, ids=str)
async def test_an_endless_attack_delays_anothers_abort_by_less_than_100_ms(
    separate: Secured, worst: WorstInput, record_property: Callable[[str, object], None]
) -> None:
    triggers = await releases(separate, f"endless {worst}", 2 * ABORTS)
    operator = await separate.driver(ONCALL, "person")

    quiet = await aborts_ms(operator, triggers[:ABORTS])
    async with attacker(separate, worst):
        attacked = await aborts_ms(operator, triggers[ABORTS:])

    record_property("figure", f"{worst}: {figures(quiet)} alone, {figures(attacked)} during the attack")
    assert p99(attacked) - p99(quiet) < DELAY_MS_MAX, (figures(quiet), figures(attacked))


async def aborts_ms(operator: Driver, triggers: Sequence[str]) -> list[float]:
    """Abort releases one after the other; return how long each took, in order."""
    took: list[float] = []
    for trigger in triggers:
        started = time.monotonic()
        await operator.accepted(AbortTrigger, trigger=trigger)
        took.append(1_000 * (time.monotonic() - started))
        await asyncio.sleep(PAUSE_SECONDS)
    return took


@asynccontextmanager
async def attacker(attacked: Secured, worst: WorstInput) -> AsyncIterator[None]:
    """Run an attacker while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile.attacker", str(worst), attacked.any_url),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert await process.stdout.readline() == b"attacking\n"
    try:
        yield
        assert process.returncode is None, "the attack has ended"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def p99(took: Sequence[float]) -> float:
    return sorted(took)[-1 - len(took) // 100]


def figures(took: Sequence[float]) -> str:
    ordered = sorted(took)
    return f"p50 {ordered[len(took) // 2]:.0f} ms, p99 {p99(took):.0f} ms, max {ordered[-1]:.0f} ms"
