"""`/console/v1/environments`."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from sluiceway.contracts.catalogue import Environment
from sluiceway.contracts.commands import SaveEnvironment
from sluiceway.contracts.identifiers import Name

from ..asked import AtDesk, Caller, CommandId
from ..faults import responses
from .answers import Single

router = APIRouter(tags=["environments"])


class EnvironmentView(BaseModel):
    """An environment, as the Console API shows it."""

    id: str
    name: str
    isProduction: bool  # noqa: N815 (the API's own spelling)
    requiresReview: bool  # noqa: N815
    requiresReleasePipeline: bool  # noqa: N815


class Environments(BaseModel):
    """All of them; there are few."""

    environments: list[EnvironmentView]


class NewEnvironment(BaseModel):
    """What is written of an environment. A review is a matter of phases here, so that field is none."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    isProduction: bool = False  # noqa: N815
    requiresReleasePipeline: bool = True  # noqa: N815


@router.get("/environments", responses=responses(401, 429, 503))
async def list_environments(desk: AtDesk, caller: Caller) -> Single[Environments]:
    """List the environments."""
    known = sorted(desk.documents().environments.values(), key=lambda environment: environment.name)
    return Single(message="Environments listed", data=Environments(environments=[*map(_view, known)]))


@router.post("/environments", responses=responses(400, 401, 403, 413, 429, 503))
async def save_environment(
    body: NewEnvironment, desk: AtDesk, caller: Caller, command_id: CommandId
) -> Single[Environments]:
    """Create or change an environment. Needs the role admin."""
    environment = {
        "name": body.name,
        "isProduction": body.isProduction,
        "requiresReleasePipeline": body.requiresReleasePipeline,
    }
    await desk.act(SaveEnvironment, caller, id=command_id, environment=environment)
    return await list_environments(desk, caller)


def _view(environment: Environment) -> EnvironmentView:
    return EnvironmentView(
        id=environment.name,
        name=environment.name,
        isProduction=environment.is_production,
        requiresReview=False,
        requiresReleasePipeline=environment.requires_release_pipeline,
    )
