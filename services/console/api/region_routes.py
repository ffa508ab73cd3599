"""`/api/v1/regions`: where features are evaluated, what each region runs, and who has confirmed it."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from pydantic import Field

from sluiceway.clock import now_ms
from sluiceway.contracts.catalogue import ATTRIBUTES_MAX, Region
from sluiceway.contracts.commands import DeleteRegion, SaveRegion
from sluiceway.contracts.conditions import Scalar
from sluiceway.contracts.identifiers import NAME_PATTERN, FeatureKind, Name
from sluiceway.contracts.models import AuthoredModel, WireModel

from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller, CommandId
from ..errors import CHANGING, READING, READING_ONE
from ..limits import PAGE_SIZE, Limit, Page

router = APIRouter(tags=["regions"])

RegionPath = Annotated[str, Path(pattern=NAME_PATTERN, description="The region.")]


class InstanceView(WireModel):
    """A subscriber that reports from a region."""

    name: str
    #: How far it has applied the rules, as a sequence of RULES, and when it said so.
    applied: int
    time_ms: int


class RegionView(WireModel):
    """A region, and what it runs."""

    name: str
    environment: str
    attributes: dict[str, Scalar]
    #: How many features it holds rules of.
    features: int
    #: Active releases whose candidate it holds.
    candidates: list[str]
    instances: list[InstanceView]
    #: Whether all instances have applied the newest rules; null where nobody reports.
    confirmed: bool | None


class RegionList(WireModel):
    """All regions, by name."""

    data: list[RegionView]


class HeldView(WireModel):
    """The rules of one feature in a region."""

    kind: FeatureKind
    name: str
    #: Sequence of the event in FEATURES that they come from.
    revision: int
    #: The release that they hold the candidate of, or that brought them.
    trigger_id: str | None
    confirmed: bool | None


class RegionWithRules(RegionView):
    """A region with one page of what it holds."""

    rules: list[HeldView]


class NewRegion(AuthoredModel):
    """What is written of a region."""

    environment: Name
    attributes: Annotated[dict[str, Scalar], Field(max_length=ATTRIBUTES_MAX)] = {}


class Message(WireModel):
    """Something was done."""

    message: str


@router.get("/regions", responses=READING)
async def list_regions(backend: Backend, caller: Caller) -> RegionList:
    """List the regions with what they run."""
    regions = sorted(backend.documents().regions.values(), key=lambda region: region.name)
    return RegionList(data=[view_of(backend, region) for region in regions])


@router.get("/regions/{name}", responses=READING_ONE)
async def get_region(
    name: RegionPath, backend: Backend, caller: Caller, limit: Limit = PAGE_SIZE, page: Page = 1
) -> RegionWithRules:
    """Show one region, with a page of the features that it holds, by name."""
    region = backend.documents().regions.get(name)
    if region is None:
        raise HTTPException(404, f"there is no region {name}")
    now = now_ms()
    held = sorted(backend.regions.held(name).items())[(page - 1) * limit : page * limit]
    rules = [
        HeldView(
            kind=key.kind,
            name=key.name,
            revision=one.revision,
            trigger_id=one.trigger,
            confirmed=backend.regions.confirmed(name, key, now),
        )
        for key, one in held
    ]
    return RegionWithRules(**view_of(backend, region).model_dump(), rules=rules)


@router.put("/regions/{name}", responses=CHANGING)
async def save_region(
    name: RegionPath, body: NewRegion, backend: Backend, caller: Caller, command_id: CommandId
) -> RegionView:
    """Create or change a region; it receives its rules at once. Needs the role admin."""
    document = {**body.to_jsonable(), "name": name}
    await backend.act(SaveRegion, caller, id=command_id, region=document)
    return view_of(backend, backend.documents().regions[name])


@router.delete("/regions/{name}", responses=CHANGING)
async def delete_region(name: RegionPath, backend: Backend, caller: Caller, command_id: CommandId) -> Message:
    """Delete a region, and the rules published for it. Needs the role admin."""
    await backend.act(DeleteRegion, caller, id=command_id, name=name)
    return Message(message=f"region {name} is deleted")


def view_of(backend: ConsoleBackend, region: Region) -> RegionView:
    """Return a region with what it runs."""
    now = now_ms()
    held = backend.regions.held(region.name)
    active = (backend.feature(entry.key) for entry in backend.features if entry.is_active)
    candidates = [
        trigger.id
        for feature in active
        if feature
        and (trigger := feature.active_trigger)
        and (one := held.get(feature.key))
        and one.trigger == trigger.id
    ]
    return RegionView(
        name=region.name,
        environment=region.environment,
        attributes=region.attributes,
        features=len(held),
        candidates=sorted(candidates),
        instances=[
            InstanceView(name=one.name, applied=one.sequence, time_ms=one.time_ms)
            for one in backend.regions.instances(region.name, now)
        ],
        confirmed=backend.regions.confirmed(region.name, None, now),
    )
