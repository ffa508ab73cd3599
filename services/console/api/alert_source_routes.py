"""`/api/v1/alert-sources`: what the alerts of each source may take back."""

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Path, Response

from sluiceway.contracts.alert_sources import AlertSource
from sluiceway.contracts.commands import DeleteAlertSource, SaveAlertSource
from sluiceway.contracts.identifiers import NAME_PATTERN
from sluiceway.contracts.models import WireModel

from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller, Headers
from ..errors import CHANGING, READING, READING_ONE
from ..preconditions import entity_tag
from .region_routes import Message

router = APIRouter(tags=["alert sources"])

AlertSourcePath = Annotated[str, Path(pattern=NAME_PATTERN, description="The source.")]
EXAMPLE = {"name": "checkout-team", "features": ["gate.new_checkout"], "regions": ["prod-eu"]}


class AlertSourceList(WireModel):
    """All sources that have a document, by name."""

    data: list[AlertSource]


@router.get("/alert-sources", responses=READING)
async def list_alert_sources(backend: Backend, caller: Caller) -> AlertSourceList:
    """List the sources of alerts that have a scope."""
    sources = backend.documents().alert_sources.values()
    return AlertSourceList(data=sorted(sources, key=lambda source: source.name))


@router.get("/alert-sources/{name}", responses=READING_ONE)
async def get_alert_source(
    name: AlertSourcePath, backend: Backend, caller: Caller, response: Response
) -> AlertSource:
    """Return the scope of a source."""
    return _single(backend, name, response)


@router.put("/alert-sources/{name}", responses=CHANGING)
async def save_alert_source(
    name: AlertSourcePath,
    body: Annotated[AlertSource, Body(examples=[EXAMPLE])],
    backend: Backend,
    caller: Caller,
    headers: Headers,
    response: Response,
) -> AlertSource:
    """Create or replace the scope of a source. Needs the role admin."""
    if body.name != name:
        raise HTTPException(
            400, f"the body names alert source {body.name!r}, but the path {name!r}: use the same name"
        )
    command = SaveAlertSource(id=headers.command_id, actor=caller.name, source=body)
    await backend.execute(command, caller, headers.preconditions)
    return _single(backend, name, response)


@router.delete("/alert-sources/{name}", responses=CHANGING)
async def delete_alert_source(
    name: AlertSourcePath, backend: Backend, caller: Caller, headers: Headers
) -> Message:
    """Delete the scope of a source: it may then do what one without a document may. Needs the role admin."""
    command = DeleteAlertSource(id=headers.command_id, actor=caller.name, name=name)
    await backend.execute(command, caller, headers.preconditions)
    return Message(message=f"alert source {name} is deleted")


def _single(backend: ConsoleBackend, name: str, response: Response) -> AlertSource:
    source = backend.documents().alert_sources.get(name)
    if source is None:  # also if somebody deletes what somebody else has just saved
        raise HTTPException(404, f"alert source {name!r} does not exist")
    response.headers["ETag"] = entity_tag(backend.catalogue.revision_tag("alert_source", name))
    return source
