"""Releases to abort, and the key of an attacker before an attack."""

from services.scheduler.command_subscriptions import SHUT_OUT_SECONDS_MAX
from sluiceway.contracts.commands import AbortTrigger
from tests.support.secured import Secured
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

from .everything import TRIGGER
from .roles import BROKER_ROLES
from .worst_input import WorstInput


async def releases(attacked: Secured, name: str, count: int) -> list[str]:
    """Return the triggers of new releases."""
    admin = await attacked.admin(name)
    names = [f"{''.join(c for c in name if c.isalnum())}-{n}" for n in range(count)]
    for gate in names:
        await admin.save_gate(gate, EVERYONE, releasePipelineID="prod-release")
    return [f"gate.{gate}.1" for gate in names]


async def is_listened_to(attacked: Secured, worst: WorstInput) -> None:
    """Wait until the key of an attacker is not shut out any more, after an earlier attack."""
    role = BROKER_ROLES[worst.role]
    if role.granted:
        driver = await attacked.driver(role.user, role.password)
        await eventually(
            lambda: driver.answered(AbortTrigger, trigger=TRIGGER),
            "its commands are answered",
            SHUT_OUT_SECONDS_MAX,
        )
