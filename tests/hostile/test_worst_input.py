"""Nobody can stop it: each role sends the worst that it may, and another's abort is answered meanwhile."""

import statistics
import time
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from services.scheduler import command_subscriptions
from sluiceway.contracts.commands import AbortTrigger
from tests.support.secured import Secured
from tests.support.system import Driver

from .conftest import ONCALL
from .releases import is_listened_to, releases
from .worst_input import WORST_INPUT, WorstInput, attacking

pytestmark = [pytest.mark.hostile, pytest.mark.asyncio(loop_scope="module")]
#: Aborts sent during one attack, each of another release.
ABORTS = 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(attacked: Secured) -> AsyncIterator[Driver]:
    """Somebody else, who aborts releases."""
    with pytest.MonkeyPatch.context() as patch:  # or each attack would wait for the end of the one before
        patch.setattr(command_subscriptions, "SHUT_OUT_SECONDS", 0.2)
        yield await attacked.driver(ONCALL, "person")


@pytest.mark.parametrize("worst", WORST_INPUT, ids=str)
async def test_anothers_aborts_are_answered_before_most_of_the_worst_input(
    attacked: Secured, operator: Driver, worst: WorstInput, record_property: Callable[[str, object], None]
) -> None:
    triggers = await releases(attacked, str(worst), ABORTS)
    await is_listened_to(attacked, worst)
    took, handled = list[float](), list[int]()

    async with attacking(attacked, worst, worst.inputs) as attack:
        for trigger in triggers:
            started = time.monotonic()
            await operator.accepted(AbortTrigger, trigger=trigger)
            took.append(1_000 * (time.monotonic() - started))
            handled.append(attack.handled)
    text = f"{worst}: an abort takes {statistics.median(took):.0f} ms, at most {max(took):.0f} ms"
    record_property("figure", f"{text}; {attack.handled} of {attack.count} inputs were handled")

    if worst.is_command:
        assert handled[0] < attack.count / 2, (handled, attack.codes)
