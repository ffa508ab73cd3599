"""The overview: active releases with their progress, and regions with what they hold."""

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response

from sluiceway.contracts.feature import Trigger
from sluiceway.contracts.identifiers import feature_of
from sluiceway.messaging.feature_view import FeatureEntry

from ..backend import ConsoleBackend
from ..dependencies import Backend
from ..limits import Page
from .progress import release_progress
from .renderer import render
from .session import CurrentUser

router = APIRouter()

ACTIVE_MAX = 25
ENDED_MAX = 8


class RegionRow(NamedTuple):
    """A region, and what it holds."""

    name: str
    environment: str
    features: int
    #: Ids of the releases on the page whose candidate it holds.
    candidates: list[str]
    instances: int
    #: Whether all instances have applied the newest rules; None if none reports.
    confirmed: bool | None


@router.get("/")
async def overview(request: Request, backend: Backend, user: CurrentUser, page: Page = 1) -> Response:
    """Show active releases, those that ended recently, and the regions."""
    releases, first = backend.newest_releases, (page - 1) * ACTIVE_MAX
    active = _triggers(backend, islice(releases.active(), first, first + ACTIVE_MAX))
    ended = _triggers(backend, islice(releases.ended(), ENDED_MAX)) if page == 1 else []
    return render(
        request,
        "overview.html",
        active=list(map(release_progress, active)),
        count=releases.active_count,
        page=page,
        pages=-(-releases.active_count // ACTIVE_MAX),
        ended=list(map(release_progress, ended)),
        regions=_regions(backend, active),
    )


def _triggers(backend: ConsoleBackend, entries: Iterable[FeatureEntry]) -> list[Trigger]:
    return [trigger for entry in entries if (trigger := backend.counted(entry.event.feature).trigger)]


def _regions(backend: ConsoleBackend, active: list[Trigger]) -> list[RegionRow]:
    now = backend.clock()
    rows = []
    for region in sorted(backend.documents().regions.values(), key=lambda region: region.name):
        held = backend.regions.held(region.name)
        rows.append(
            RegionRow(
                name=region.name,
                environment=region.environment,
                features=len(held),
                candidates=[
                    trigger.id
                    for trigger in active
                    if (rules := held.get(feature_of(trigger.id))) and rules.trigger == trigger.id
                ],
                instances=len(backend.regions.instances(region.name, now)),
                confirmed=backend.regions.confirmed(region.name, None, now),
            )
        )
    return rows
