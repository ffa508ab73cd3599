"""`/api/v1/regions`: the regions, the rules that each one holds, and whether these are applied."""

import asyncio
from itertools import chain, islice
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Response
from pydantic import Field

from sluiceway.contracts.bounded_lists import at_most
from sluiceway.contracts.catalogue import ATTRIBUTES_MAX, Region
from sluiceway.contracts.commands import DeleteRegion, SaveRegion
from sluiceway.contracts.conditions import Scalar
from sluiceway.contracts.identifiers import NAME_PATTERN, FeatureKind, Name, TriggerId, feature_of
from sluiceway.contracts.models import AuthoredModel, WireModel

from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller, Headers
from ..errors import CHANGING, READING, READING_ONE
from ..limits import PAGE_SIZE, Limit, Page
from ..preconditions import entity_tag

router = APIRouter(tags=["regions"])

#: Active releases, those with the newest events, of which a region says whether it holds the candidate.
CANDIDATES_MAX = 1_000
RegionPath = Annotated[str, Path(pattern=NAME_PATTERN, description="The region.")]


class InstanceView(WireModel):
    """A subscriber that reports from a region."""

    name: str
    #: The sequence of RULES that it has applied, and when it reported that.
    applied: int
    time_ms: int


class RegionView(WireModel):
    """A region, and what it holds."""

    name: str
    environment: str
    attributes: dict[str, Scalar]
    #: The number of features whose rules it holds.
    features: int
    #: Active releases whose candidate it holds, of the newest 1,000.
    candidates: list[str]
    instances: list[InstanceView]
    #: Whether all instances have applied the newest rules; null if none reports.
    confirmed: bool | None


class RegionList(WireModel):
    """All regions, by name."""

    data: list[RegionView]


class HeldView(WireModel):
    """The rules of one feature in a region."""

    kind: FeatureKind
    name: str
    #: The sequence of the event in FEATURES that they come from.
    revision: int
    #: The release whose candidate they hold, or that released them.
    trigger_id: str | None
    confirmed: bool | None


class RegionWithRules(RegionView):
    """A region with one page of the rules that it holds."""

    rules: list[HeldView]


class NewRegion(AuthoredModel):
    """A region as it is written; its name is in the path."""

    environment: Name
    attributes: Annotated[dict[str, Scalar], Field(max_length=ATTRIBUTES_MAX), at_most(ATTRIBUTES_MAX)] = {}


class Message(WireModel):
    """What was done."""

    message: str


@router.get("/regions", responses=READING)
async def list_regions(backend: Backend, caller: Caller) -> RegionList:
    """List the regions, with what they hold."""
    regions = sorted(backend.documents().regions.values(), key=lambda region: region.name)
    active = await _newest_triggers(backend)
    views = []
    for region in regions:
        views.append(_view_of(backend, region, active))
        await asyncio.sleep(0)  # others are answered in between
    return RegionList(data=views)


@router.get("/regions/{name}", responses=READING_ONE)
async def get_region(
    name: RegionPath,
    backend: Backend,
    caller: Caller,
    response: Response,
    limit: Limit = PAGE_SIZE,
    page: Page = 1,
) -> RegionWithRules:
    """Return one region, with a page of the features whose rules it holds, by name.

    The ETag is that of the region as an admin has written it; what it holds changes without it.
    """
    region = _region(backend, name, response)
    now = backend.clock()
    held, names = backend.regions.held(name), map(backend.names.sorted, sorted(FeatureKind))
    keys = (key for key in chain.from_iterable(names) if key in held)
    on_page = [(key, held[key]) for key in islice(keys, (page - 1) * limit, page * limit)]
    views = [
        HeldView(
            kind=key.kind,
            name=key.name,
            revision=rules.revision,
            trigger_id=rules.trigger,
            confirmed=backend.regions.confirmed(name, key, now),
        )
        for key, rules in on_page
    ]
    return RegionWithRules(**(await view_of(backend, region)).model_dump(), rules=views)


@router.put("/regions/{name}", responses=CHANGING)
async def save_region(
    name: RegionPath, body: NewRegion, backend: Backend, caller: Caller, headers: Headers, response: Response
) -> RegionView:
    """Create or change a region; it receives its rules immediately. Needs the role admin."""
    region = Region(name=name, environment=body.environment, attributes=body.attributes)
    command = SaveRegion(id=headers.command_id, actor=caller.name, region=region)
    await backend.execute(command, caller, headers.preconditions)
    return await view_of(backend, _region(backend, name, response))


@router.delete("/regions/{name}", responses=CHANGING)
async def delete_region(name: RegionPath, backend: Backend, caller: Caller, headers: Headers) -> Message:
    """Delete a region, and the rules published for it. Needs the role admin."""
    command = DeleteRegion(id=headers.command_id, actor=caller.name, name=name)
    await backend.execute(command, caller, headers.preconditions)
    return Message(message=f"region {name} is deleted")


def _region(backend: ConsoleBackend, name: str, response: Response) -> Region:
    """Return a region, and name its revision in the response; 404 if it does not exist."""
    region = backend.documents().regions.get(name)
    if region is None:  # also if somebody deletes what somebody else has just saved
        raise HTTPException(404, f"region {name!r} does not exist")
    response.headers["ETag"] = entity_tag(backend.catalogue.revision_tag("region", name))
    return region


async def _newest_triggers(backend: ConsoleBackend) -> list[TriggerId]:
    """Return the active releases with the newest events: those that a list of candidates may name."""
    entries = islice(backend.newest_releases.active(), CANDIDATES_MAX)
    return [release.id for release in await backend.releases.entries_of(tuple(entries))]


async def view_of(backend: ConsoleBackend, region: Region) -> RegionView:
    """Return a region with what it holds."""
    return _view_of(backend, region, await _newest_triggers(backend))


def _view_of(backend: ConsoleBackend, region: Region, active: list[TriggerId]) -> RegionView:
    now = backend.clock()
    held = backend.regions.held(region.name)
    candidates = [
        trigger for trigger in active if (rules := held.get(feature_of(trigger))) and rules.trigger == trigger
    ]
    return RegionView(
        name=region.name,
        environment=region.environment,
        attributes=region.attributes,
        features=len(held),
        candidates=sorted(candidates),
        instances=[
            InstanceView(name=instance.name, applied=instance.sequence, time_ms=instance.time_ms)
            for instance in backend.regions.instances(region.name, now)
        ],
        confirmed=backend.regions.confirmed(region.name, None, now),
    )
