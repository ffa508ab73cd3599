"""The page of a release, and its actions: each says first exactly what it would do."""

import json
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, Trigger
from sluiceway.contracts.identifiers import TriggerId, feature_of
from sluiceway.contracts.replies import Refusal, RefusalCode

from ..asked import AtDesk
from ..desk import Desk
from .actions import ACTIONS, Action, fields_of, may_override, offers
from .consequences import consequence
from .release import card, difference_of, entries, release_of
from .rendering import render
from .tracks import track_of
from .visitors import Posted, Visitor, to
from .words import change_in_words

router = APIRouter()


@router.get("/triggers/{id_}")
async def show(request: Request, id_: TriggerId, desk: AtDesk, visitor: Visitor) -> Response:
    """Show a release, active or ended."""
    release = await release_of(desk, id_)
    if release is None:
        raise _nothing(id_)
    trigger = release.trigger
    rounds, verdicts = await desk.measured.rounds(id_), await desk.measured.verdicts(id_)
    return render(
        request,
        "trigger.html",
        feature=release.feature,
        track=track_of(trigger),
        offers=offers(desk, visitor, trigger) if trigger.status.is_active else [],
        phases=[card(desk, trigger, run, rounds) for run in trigger.phases],
        candidate=json.dumps(release.candidate.to_jsonable(), indent=2) if release.candidate else "",
        words=change_in_words(release.base, release.candidate),
        difference=difference_of(release.base, release.candidate),
        entries=entries(release.log, verdicts),
    )


@router.get("/triggers/{id_}/{name}")
async def confirm(
    request: Request, id_: TriggerId, name: str, desk: AtDesk, visitor: Visitor, override: bool = False
) -> Response:
    """Say exactly what an action would do, and to how many regions, before it is done."""
    action = _action(name)
    feature, trigger = _current(desk, id_)
    fields = fields_of(action, trigger)
    decision = desk.rehearse(action.model, visitor, **fields)
    is_frozen = isinstance(decision, Refusal) and decision.code is RefusalCode.FROZEN
    if override and may_override(action):
        decision = desk.rehearse(action.model, visitor, **fields, override_freeze=True, reason="rehearsed")
    regions = desk.documents().regions.values()
    return render(
        request,
        "confirm.html",
        feature=feature,
        trigger=trigger,
        action=action,
        phase=fields.get("phase_id"),
        told=consequence(feature, decision, regions) if isinstance(decision, FeatureEvent) else None,
        count=len(regions),
        why_not=None if isinstance(decision, FeatureEvent) else decision.message,  # type: ignore[union-attr]
        is_frozen=is_frozen,
        override=override,
    )


@router.post("/triggers/{id_}/{name}")
async def act(id_: TriggerId, name: str, desk: AtDesk, visitor: Visitor, form: Posted) -> Response:
    """Do it, for the phase that the person saw."""
    action = _action(name)
    _, trigger = _current(desk, id_)
    fields: dict[str, Any] = fields_of(action, trigger, str(form.get("phase") or "") or None)
    fields["reason"] = str(form.get("reason") or "").strip() or None
    if may_override(action):
        fields["override_freeze"] = form.get("override") == "yes"
    await desk.act(action.model, visitor, **fields)
    return to(f"/triggers/{id_}")


def _current(desk: Desk, id_: str) -> tuple[Feature, Trigger]:
    """Return a feature and its newest trigger, which must be this one."""
    feature = desk.feature(feature_of(id_))
    if feature is None or feature.trigger is None:
        raise _nothing(id_)
    if feature.trigger.id != id_:
        raise HTTPException(
            409, f"{id_} is over; {feature.trigger.id} is the newest release of {feature.key}"
        )
    return feature, feature.trigger


def _nothing(id_: str) -> HTTPException:
    return HTTPException(404, f"there is no trigger {id_}")


def _action(name: str) -> Action:
    if action := ACTIONS.get(name):
        return action
    raise HTTPException(404, f"there is no action {name!r}; there are {', '.join(ACTIONS)}")
