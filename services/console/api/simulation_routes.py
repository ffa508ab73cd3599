"""`POST /api/v1/simulate`: what saving a feature would do, and when each region would receive it."""

from functools import partial

from fastapi import APIRouter

from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import FeatureDocument
from sluiceway.contracts.models import AuthoredModel, WireModel
from sluiceway.contracts.replies import Outcome, Refusal
from sluiceway.pipelines.segments import Extent
from sluiceway.pipelines.simulation import simulate_coverage

from ..dependencies import Backend, Caller
from ..errors import READING, responses

router = APIRouter(tags=["simulation"])


class Change(AuthoredModel):
    """The feature to save."""

    feature: FeatureDocument


class Simulation(WireModel):
    """What saving it would do."""

    outcome: Outcome
    #: The event that would be written; null if none.
    event: EventType | None
    message: str | None
    refusal: Refusal | None
    #: The release that would start.
    trigger_id: str | None
    trigger_notice: str | None
    #: Whether each phase waits for every instance that reports; null if no release would start.
    require_confirmation: bool | None
    #: By phase, in order: how much of each region would hold the candidate from then on.
    phases: dict[str, dict[str, Extent]]


@router.post("/simulate", responses={**READING, **responses(413)})
async def simulate_change(body: Change, backend: Backend, caller: Caller) -> Simulation:
    """Return what saving a feature would do, without doing it."""
    decision = await backend.preview(SaveFeature(actor=caller.name, feature=body.feature), caller)
    if isinstance(decision, FeatureEvent):
        trigger = decision.feature.trigger if decision.type is EventType.TRIGGER_STARTED else None
        regions = backend.documents().regions.values()
        return Simulation(
            outcome=Outcome.ACCEPTED,
            event=decision.type,
            message=None,
            refusal=None,
            trigger_id=trigger.id if trigger else None,
            trigger_notice=trigger.pipeline.trigger_notice if trigger else None,
            require_confirmation=trigger.pipeline.require_confirmation if trigger else None,
            phases=await backend.in_thread(caller, partial(simulate_coverage, trigger.pipeline, [*regions]))
            if trigger
            else {},
        )
    refusal = decision if isinstance(decision, Refusal) else None
    return Simulation(
        outcome=Outcome.REFUSED if refusal else Outcome.UNCHANGED,
        event=None,
        message=None if refusal else getattr(decision, "message", None),
        refusal=refusal,
        trigger_id=None,
        trigger_notice=None,
        require_confirmation=None,
        phases={},
    )
