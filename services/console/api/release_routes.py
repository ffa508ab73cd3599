"""`/api/v1/triggers`: releases with what watches them; `/api/v1/alerts`: what became of alerts."""

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
    """What guardrails have measured of a release, and what they made of it, oldest first."""

    rounds: list[Round]
    verdicts: list[VerdictChanged]


class AlertList(WireModel):
    """What became of alerts, the newest first."""

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
    is_active = status is None or status.is_active
    found = [
        release
        for release in (backend.releases.active() if is_active else await backend.releases.all())
        if status in (None, release.status) and pipeline in (None, release.pipeline)
    ]
    found.sort(key=lambda release: release.sequence, reverse=True)
    states = await backend.releases.states(found[(page - 1) * limit : page * limit])
    shown = [trigger_view(state, state.trigger) for state in states if state.trigger]
    return ReleaseList(data=shown, total=len(found))


@router.get("/triggers/{id}/measurements", responses=READING_ONE)
async def measurements(id: TriggerId, backend: Backend, caller: Caller) -> ReleaseMeasurements:
    """Show what the guardrails of a release have measured, and their verdicts, as far as they are kept."""
    if backend.features.get(feature_of(id)) is None:
        raise HTTPException(404, f"there is no trigger {id}")
    return ReleaseMeasurements(
        rounds=await backend.measured.rounds(id), verdicts=await backend.measured.verdicts(id)
    )


@router.get("/alerts", responses=READING)
async def alerts(
    backend: Backend, caller: Caller, limit: Annotated[int, Query(ge=1, le=ALERTS_MAX)] = 50
) -> AlertList:
    """Show what became of the alerts that came in, also of those that were about nothing."""
    found = await backend.measured.answered_alerts()
    return AlertList(data=found[::-1][:limit])
