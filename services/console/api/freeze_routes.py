"""`/api/v1/freezes`: when and where no phase may start, and whether a freeze is on now."""

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Path

from sluiceway.clock import now_ms
from sluiceway.contracts.commands import DeleteFreeze, SaveFreeze
from sluiceway.contracts.freeze import Freeze
from sluiceway.contracts.identifiers import NAME_PATTERN
from sluiceway.contracts.models import WireModel
from sluiceway.pipelines.freezes import next_change_ms, open_window

from ..dependencies import Backend, Caller, CommandId
from ..errors import CHANGING, READING
from .region_routes import Message

router = APIRouter(tags=["freezes"])

FreezePath = Annotated[str, Path(pattern=NAME_PATTERN, description="The freeze.")]
WEEKENDS = [{"from": "Fri 16:00", "to": "Mon 08:00"}]
EXAMPLE = {"name": "weekends", "timeZone": "Europe/Berlin", "weekly": WEEKENDS}


class FreezeView(Freeze):
    """A freeze, and whether it is on."""

    is_on: bool
    #: When it starts or ends next, in ms; null if never.
    next_change_ms: int | None


class FreezeList(WireModel):
    """All freezes, by name."""

    data: list[FreezeView]


@router.get("/freezes", responses=READING)
async def list_freezes(backend: Backend, caller: Caller) -> FreezeList:
    """List the freezes, and which of them are on."""
    freezes = sorted(backend.documents().freezes.values(), key=lambda freeze: freeze.name)
    return FreezeList(data=[_view(freeze) for freeze in freezes])


@router.put("/freezes/{name}", responses=CHANGING)
async def save_freeze(
    name: FreezePath,
    body: Annotated[Freeze, Body(examples=[EXAMPLE])],
    backend: Backend,
    caller: Caller,
    command_id: CommandId,
) -> FreezeView:
    """Create or replace a freeze: weekly windows, or one `from` and `to`. Needs the role admin."""
    if body.name != name:
        raise HTTPException(
            400, f"the body names freeze {body.name!r}, but the path {name!r}: use the same name"
        )
    await backend.execute(SaveFreeze(id=command_id, actor=caller.name, freeze=body), caller)
    return _view(backend.documents().freezes[name])


@router.delete("/freezes/{name}", responses=CHANGING)
async def delete_freeze(name: FreezePath, backend: Backend, caller: Caller, command_id: CommandId) -> Message:
    """Delete a freeze; the phases that it holds continue. Needs the role admin."""
    await backend.execute(DeleteFreeze(id=command_id, actor=caller.name, name=name), caller)
    return Message(message=f"freeze {name} is deleted")


def _view(freeze: Freeze) -> FreezeView:
    now = now_ms()
    return FreezeView.model_validate(
        {
            **freeze.to_jsonable(),
            "isOn": open_window(freeze, now) is not None,
            "nextChangeMs": next_change_ms(freeze, now),
        }
    )
