"""`/api/v1/triggers`: releases and their measurements; `/api/v1/alerts`: alerts and what they did."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from sluiceway.contracts.alerts import AnsweredAlert
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identifiers import Name, TriggerId, feature_of
from sluiceway.contracts.measurements import Round, VerdictChanged
from sluiceway.contracts.models import WireModel
from sluiceway.trigger_view import TriggerView, trigger_view

from ..dependencies import Backend, Caller
from ..errors import READING, READING_ONE
from ..limits import PAGE_SIZE, Limit, Page

router = APIRouter(tags=["releases"])

ALERTS_MAX = 500


class ReleaseList(WireModel):
    """One page of releases, the newest change first, in the form of the command line's `--json`."""

    data: list[TriggerView]
    total: int


class ReleaseMeasurements(WireModel):
    """The measurements and verdicts of a release's guardrails, oldest first."""

    rounds: list[Round]
    verdicts: list[VerdictChanged]


class AlertList(WireModel):
    """Alerts and what they did, newest first."""

    data: list[AnsweredAlert]


@router.get("/triggers", responses=READING)
async def list_triggers(
    backend: Backend,
    caller: Caller,
    status: TriggerStatus | None = None,
    pipeline: Name | None = None,
    limit: Limit = PAGE_SIZE,
    page: Page = 1,
) -> ReleaseList:
    """List the active releases, or those with a status."""
    on_page = slice((page - 1) * limit, page * limit)
    if status is None or status.is_active:
        active = backend.releases.active(status, pipeline)
        total, states = len(active), [backend.counted(entry.event.feature) for entry in active[on_page]]
    else:
        releases = [
            release
            for release in await backend.releases.all()
            if release.status is status and pipeline in (None, release.pipeline)
        ]
        total, states = len(releases), await backend.releases.states(releases[on_page])
    return ReleaseList(data=[trigger_view(s, s.trigger) for s in states if s.trigger], total=total)


@router.get("/triggers/{id}/measurements", responses=READING_ONE)
async def measurements(id: TriggerId, backend: Backend, caller: Caller) -> ReleaseMeasurements:
    """Return the measurements and verdicts of a release's guardrails, as long as they are stored."""
    if backend.features.get(feature_of(id)) is None:
        raise HTTPException(404, f"trigger {id} does not exist")
    return ReleaseMeasurements(
        rounds=await backend.measurements.rounds(id), verdicts=await backend.measurements.verdicts(id)
    )


@router.get("/alerts", responses=READING)
async def alerts(
    backend: Backend, caller: Caller, limit: Annotated[int, Query(ge=1, le=ALERTS_MAX)] = 50
) -> AlertList:
    """Return alerts and what they did, also those that matched no release."""
    answered = await backend.measurements.answered_alerts()
    return AlertList(data=answered[::-1][:limit])
