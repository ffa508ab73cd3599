"""`/api/v1/freezes`: when and where no phase may start, and whether a freeze is on now."""

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Path, Response

from sluiceway.contracts.commands import DeleteFreeze, SaveFreeze
from sluiceway.contracts.freeze import Freeze
from sluiceway.contracts.identifiers import NAME_PATTERN
from sluiceway.contracts.models import WireModel
from sluiceway.pipelines.freezes import next_change_ms, open_window

from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller, Headers
from ..errors import CHANGING, READING, READING_ONE
from ..preconditions import entity_tag
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
    return FreezeList(data=[_view(freeze, backend.clock()) for freeze in freezes])


@router.get("/freezes/{name}", responses=READING_ONE)
async def get_freeze(name: FreezePath, backend: Backend, caller: Caller, response: Response) -> FreezeView:
    """Return a freeze. Its ETag is that of the freeze as an admin has written it."""
    return _single(backend, name, response)


@router.put("/freezes/{name}", responses=CHANGING)
async def save_freeze(
    name: FreezePath,
    body: Annotated[Freeze, Body(examples=[EXAMPLE])],
    backend: Backend,
    caller: Caller,
    headers: Headers,
    response: Response,
) -> FreezeView:
    """Create or replace a freeze: weekly windows, or one `from` and `to`. Needs the role admin."""
    if body.name != name:
        raise HTTPException(
            400, f"the body names freeze {body.name!r}, but the path {name!r}: use the same name"
        )
    command = SaveFreeze(id=headers.command_id, actor=caller.name, freeze=body)
    await backend.execute(command, caller, headers.preconditions)
    return _single(backend, name, response)


@router.delete("/freezes/{name}", responses=CHANGING)
async def delete_freeze(name: FreezePath, backend: Backend, caller: Caller, headers: Headers) -> Message:
    """Delete a freeze; the phases that it holds continue. Needs the role admin."""
    command = DeleteFreeze(id=headers.command_id, actor=caller.name, name=name)
    await backend.execute(command, caller, headers.preconditions)
    return Message(message=f"freeze {name} is deleted")


def _single(backend: ConsoleBackend, name: str, response: Response) -> FreezeView:
    freeze = backend.documents().freezes.get(name)
    if freeze is None:  # also if somebody deletes what somebody else has just saved
        raise HTTPException(404, f"freeze {name!r} does not exist")
    response.headers["ETag"] = entity_tag(backend.catalogue.revision_tag("freeze", name))
    return _view(freeze, backend.clock())


def _view(freeze: Freeze, now: int) -> FreezeView:
    return FreezeView.model_validate(
        {
            **freeze.to_jsonable(),
            "isOn": open_window(freeze, now) is not None,
            "nextChangeMs": next_change_ms(freeze, now),
        }
    )
