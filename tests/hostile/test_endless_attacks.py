"""An endless attack from a process of its own keeps nobody else's abort from its answer.

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
from .releases import is_listened_to, releases
from .worst_input import WORST_INPUT, WorstInput

pytestmark = [pytest.mark.hostile, pytest.mark.full, pytest.mark.asyncio(loop_scope="module")]
#: Aborts that are measured, each of another release.
ABORTS = 100
#: Between them, so that they take as long as the attack needs to grow.
PAUSE_SECONDS = 0.02
#: By how much thirty of the worst commands a second may delay an abort, at the 99th percentile.
DELAY_MS_MAX = 100.0
#: However fast the attack is; a client sends an abort again after a second without an answer.
ANSWERED_MS_MAX = 5_000.0
#: What streams store directly passes by the scheduler's turns.
COMMANDS = [worst for worst in WORST_INPUT if worst.is_command]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("worst", COMMANDS, ids=str)
async def test_thirty_of_the_worst_commands_each_second_hardly_delay_an_abort(
    separate: Secured, worst: WorstInput, record_property: Callable[[str, object], None]
) -> None:
    quiet, attacked = await measured(separate, worst, "30")

    record_property("figure", f"{worst}, 30/s: {figures(quiet)} alone, {figures(attacked)} during the attack")
    assert p99(attacked) - p99(quiet) < DELAY_MS_MAX, (figures(quiet), figures(attacked))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("worst", WORST_INPUT, ids=str)
async def test_an_endless_attack_at_full_speed_keeps_no_abort_from_its_answer(
    separate: Secured, worst: WorstInput, record_property: Callable[[str, object], None]
) -> None:
    """It takes what the machine has: the broker reads all of it. Until a flood is noticed, others wait."""
    quiet, attacked = await measured(separate, worst)

    record_property("figure", f"{worst}, endless: {figures(quiet)} alone, {figures(attacked)} meanwhile")
    assert max(attacked) < ANSWERED_MS_MAX, (figures(quiet), figures(attacked))


async def measured(
    separate: Secured, worst: WorstInput, *burst: str
) -> tuple[Sequence[float], Sequence[float]]:
    """Return how long aborts take, without and with an attack."""
    await is_listened_to(separate, worst)
    triggers = await releases(separate, f"endless {worst} {burst}", 2 * ABORTS)
    operator = await separate.driver(ONCALL, "person")
    quiet = await aborts_ms(operator, triggers[:ABORTS])
    async with attacker(separate, worst, *burst):
        return quiet, await aborts_ms(operator, triggers[ABORTS:])


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
async def attacker(attacked: Secured, worst: WorstInput, *burst: str) -> AsyncIterator[None]:
    """Run an attacker while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile.attacker", str(worst), attacked.any_url, *burst),
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
