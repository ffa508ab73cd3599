"""The overview: active releases with their progress, and regions with what they hold."""

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
    #: Ids of the active releases whose candidate it holds.
    candidates: list[str]
    instances: int
    #: Whether all instances have applied the newest rules; None if none reports.
    confirmed: bool | None


@router.get("/")
async def overview(request: Request, backend: Backend, user: CurrentUser, page: Page = 1) -> Response:
    """Show active releases, those that ended recently, and the regions."""
    entries = sorted(
        (entry for entry in backend.features if entry.status), key=lambda entry: entry.sequence, reverse=True
    )
    active = [entry for entry in entries if entry.is_active]
    ended = [entry for entry in entries if not entry.is_active][:ENDED_MAX]
    first = (page - 1) * ACTIVE_MAX
    return render(
        request,
        "overview.html",
        active=[
            release_progress(trigger) for trigger in _triggers(backend, active[first : first + ACTIVE_MAX])
        ],
        count=len(active),
        page=page,
        pages=-(-len(active) // ACTIVE_MAX),
        ended=[release_progress(trigger) for trigger in _triggers(backend, ended)] if page == 1 else [],
        regions=_regions(backend, _triggers(backend, active)),
    )


def _triggers(backend: ConsoleBackend, entries: list[FeatureEntry]) -> list[Trigger]:
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
