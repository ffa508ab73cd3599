"""Releases to abort."""

from tests.support.secured import Secured
from tests.support.system import EVERYONE


async def releases(attacked: Secured, name: str, count: int) -> list[str]:
    """Return the triggers of new releases."""
    admin = await attacked.admin(name)
    names = [f"{''.join(c for c in name if c.isalnum())}-{n}" for n in range(count)]
    for gate in names:
        await admin.save_gate(gate, EVERYONE, releasePipelineID="prod-release")
    return [f"gate.{gate}.1" for gate in names]
