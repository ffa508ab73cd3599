"""`/console/v1/environments`."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Response
from pydantic import StrictBool

from sluiceway.contracts.catalogue import Environment
from sluiceway.contracts.commands import SaveEnvironment
from sluiceway.contracts.identifiers import NAME_PATTERN, Name
from sluiceway.contracts.models import AuthoredModel, WireModel

from ..dependencies import Backend, Caller, Headers
from ..errors import CHANGING, READING, READING_ONE
from ..preconditions import entity_tag
from .responses import Single

router = APIRouter(tags=["environments"])

EnvironmentPath = Annotated[str, Path(pattern=NAME_PATTERN, description="The environment.")]


class EnvironmentView(WireModel):
    """An environment. `requiresReview` is always false: here, phases require reviews."""

    id: str
    name: str
    is_production: bool
    requires_review: bool = False
    requires_release_pipeline: bool


class Environments(WireModel):
    """All environments."""

    environments: list[EnvironmentView]


class NewEnvironment(AuthoredModel):
    """An environment as it is written."""

    name: Name
    is_production: StrictBool = False
    requires_release_pipeline: StrictBool = True


@router.get("/environments", responses=READING)
async def list_environments(backend: Backend, caller: Caller) -> Single[Environments]:
    """List the environments."""
    environments = sorted(backend.documents().environments.values(), key=lambda environment: environment.name)
    return Single(message="Environments listed", data=Environments(environments=[*map(_view, environments)]))


@router.get("/environments/{name}", responses=READING_ONE)
async def get_environment(
    name: EnvironmentPath, backend: Backend, caller: Caller, response: Response
) -> Single[EnvironmentView]:
    """Return an environment, with its ETag; our own."""
    environment = backend.documents().environments.get(name)
    if environment is None:
        raise HTTPException(404, f"environment {name!r} does not exist")
    response.headers["ETag"] = entity_tag(backend.catalogue.revision_tag("environment", name))
    return Single(message="Environment found", data=_view(environment))


@router.post("/environments", responses=CHANGING)
async def save_environment(
    body: NewEnvironment, backend: Backend, caller: Caller, headers: Headers
) -> Single[Environments]:
    """Create or change an environment. Needs the role admin."""
    environment = Environment.model_validate(body.to_jsonable())
    command = SaveEnvironment(id=headers.command_id, actor=caller.name, environment=environment)
    await backend.execute(command, caller, headers.preconditions)
    return await list_environments(backend, caller)


def _view(environment: Environment) -> EnvironmentView:
    return EnvironmentView(
        id=environment.name,
        name=environment.name,
        is_production=environment.is_production,
        requires_release_pipeline=environment.requires_release_pipeline,
    )
