"""`/api/v1/triggers`: releases with what watches them; `/api/v1/alerts`: what became of alerts."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from sluiceway.contracts.alerts import AnsweredAlert
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identifiers import Name, TriggerId, feature_of
from sluiceway.contracts.measurements import Round, VerdictChanged
from sluiceway.contracts.model import Recorded
from sluiceway.views import trigger_view

from ..asked import AtDesk, Caller
from ..faults import READING, READING_ONE
from ..limits import PAGE_SIZE, Limit, Page

router = APIRouter(tags=["releases"])

ALERTS_MAX = 500


class Releases(Recorded):
    """One page of releases, the newest change first, in the form of the command line's `--json`."""

    data: list[dict[str, Any]]
    total: int


class Watched(Recorded):
    """What guardrails have measured of a release, and what they made of it, oldest first."""

    rounds: list[Round]
    verdicts: list[VerdictChanged]


class Alerts(Recorded):
    """What became of alerts, the newest first."""

    data: list[AnsweredAlert]


@router.get("/triggers", responses=READING)
async def list_triggers(
    desk: AtDesk,
    caller: Caller,
    status: TriggerStatus | None = None,
    pipeline: Name | None = None,
    limit: Limit = PAGE_SIZE,
    page: Page = 1,
) -> Releases:
    """List the active releases, or those with a status."""
    is_active = status is None or status.is_active
    found = [
        release
        for release in (desk.releases.active() if is_active else await desk.releases.all())
        if status in (None, release.status) and pipeline in (None, release.pipeline)
    ]
    found.sort(key=lambda release: release.sequence, reverse=True)
    states = await desk.releases.states(found[(page - 1) * limit : page * limit])
    shown = [trigger_view(state, state.trigger) for state in states if state.trigger]
    return Releases(data=shown, total=len(found))


@router.get("/triggers/{id}/measurements", responses=READING_ONE)
async def measurements(id: TriggerId, desk: AtDesk, caller: Caller) -> Watched:
    """Show what the guardrails of a release have measured, and their verdicts, as far as they are kept."""
    if desk.features.get(feature_of(id)) is None:
        raise HTTPException(404, f"there is no trigger {id}")
    return Watched(rounds=await desk.measured.rounds(id), verdicts=await desk.measured.verdicts(id))


@router.get("/alerts", responses=READING)
async def alerts(
    desk: AtDesk, caller: Caller, limit: Annotated[int, Query(ge=1, le=ALERTS_MAX)] = 50
) -> Alerts:
    """Show what became of the alerts that came in, also of those that were about nothing."""
    found = await desk.measured.answered_alerts()
    return Alerts(data=found[::-1][:limit])
