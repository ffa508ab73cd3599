"""`/console/v1/environments`."""

from fastapi import APIRouter
from pydantic import StrictBool

from sluiceway.contracts.catalogue import Environment
from sluiceway.contracts.commands import SaveEnvironment
from sluiceway.contracts.identifiers import Name
from sluiceway.contracts.models import AuthoredModel, WireModel

from ..dependencies import Backend, Caller, CommandId
from ..errors import CHANGING, READING
from .responses import Single

router = APIRouter(tags=["environments"])


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


@router.post("/environments", responses=CHANGING)
async def save_environment(
    body: NewEnvironment, backend: Backend, caller: Caller, command_id: CommandId
) -> Single[Environments]:
    """Create or change an environment. Needs the role admin."""
    environment = Environment.model_validate(body.to_jsonable())
    command = SaveEnvironment(id=command_id, actor=caller.name, environment=environment)
    await backend.execute(command, caller)
    return await list_environments(backend, caller)


def _view(environment: Environment) -> EnvironmentView:
    return EnvironmentView(
        id=environment.name,
        name=environment.name,
        is_production=environment.is_production,
        requires_release_pipeline=environment.requires_release_pipeline,
    )
