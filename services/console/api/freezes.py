"""`/api/v1/freezes`: when and where no phase starts, and whether that is now."""

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Path

from sluiceway.clock import now_ms
from sluiceway.contracts.commands import DeleteFreeze, SaveFreeze
from sluiceway.contracts.freeze import Freeze
from sluiceway.contracts.identifiers import NAME_PATTERN
from sluiceway.contracts.model import Recorded
from sluiceway.pipelines.freezes import next_change_ms, open_window

from ..asked import AtDesk, Caller, CommandId
from ..faults import CHANGING, READING
from .regions import Told

router = APIRouter(tags=["freezes"])

FreezePath = Annotated[str, Path(pattern=NAME_PATTERN, description="The freeze.")]
WEEKENDS = [{"from": "Fri 16:00", "to": "Mon 08:00"}]
EXAMPLE = {"name": "weekends", "timeZone": "Europe/Berlin", "weekly": WEEKENDS}


class FreezeView(Freeze):
    """A freeze, and whether it is on."""

    is_on: bool
    #: When that changes next, in ms; null: never.
    next_change_ms: int | None


class Freezes(Recorded):
    """All freezes, by name."""

    data: list[FreezeView]


@router.get("/freezes", responses=READING)
async def list_freezes(desk: AtDesk, caller: Caller) -> Freezes:
    """List the freezes, and say which are on."""
    found = sorted(desk.documents().freezes.values(), key=lambda freeze: freeze.name)
    return Freezes(data=[_view(freeze) for freeze in found])


@router.put("/freezes/{name}", responses=CHANGING)
async def save_freeze(
    name: FreezePath,
    body: Annotated[Freeze, Body(examples=[EXAMPLE])],
    desk: AtDesk,
    caller: Caller,
    command_id: CommandId,
) -> FreezeView:
    """Create or replace a freeze: weekly windows, or one `from` and `to`. Needs the role admin."""
    if body.name != name:
        raise HTTPException(400, f"the body is about freeze {body.name}, the address about {name}")
    await desk.act(SaveFreeze, caller, id=command_id, freeze=body)
    return _view(desk.documents().freezes[name])


@router.delete("/freezes/{name}", responses=CHANGING)
async def delete_freeze(name: FreezePath, desk: AtDesk, caller: Caller, command_id: CommandId) -> Told:
    """Delete a freeze; what it holds goes on. Needs the role admin."""
    await desk.act(DeleteFreeze, caller, id=command_id, name=name)
    return Told(message=f"freeze {name} is deleted")


def _view(freeze: Freeze) -> FreezeView:
    now = now_ms()
    return FreezeView.model_validate(
        {
            **freeze.to_jsonable(),
            "isOn": open_window(freeze, now) is not None,
            "nextChangeMs": next_change_ms(freeze, now),
        }
    )
