"""The page of a release, and its actions: each says first exactly what it would do."""

import json
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, Trigger
from sluiceway.contracts.identifiers import TriggerId, feature_of
from sluiceway.contracts.replies import Refusal, RefusalCode

from ..backend import ConsoleBackend
from ..dependencies import Backend
from .action_offers import ACTIONS, PageAction, fields_of, may_override, offers
from .describe import describe_change
from .impact import impact_of
from .progress import release_progress
from .release_detail import difference_of, phase_card, release_detail, timeline
from .renderer import render
from .session import CurrentUser, PostedForm, redirect_to

router = APIRouter()


@router.get("/triggers/{id_}")
async def show(request: Request, id_: TriggerId, backend: Backend, user: CurrentUser) -> Response:
    """Show a release, active or ended."""
    release = await release_detail(backend, id_)
    if release is None:
        raise _nothing(id_)
    trigger = release.trigger
    rounds, verdicts = await backend.measured.rounds(id_), await backend.measured.verdicts(id_)
    return render(
        request,
        "trigger.html",
        feature=release.feature,
        track=release_progress(trigger),
        offers=offers(backend, user, trigger) if trigger.status.is_active else [],
        phases=[phase_card(backend, trigger, run, rounds) for run in trigger.phases],
        candidate=json.dumps(release.candidate.to_jsonable(), indent=2) if release.candidate else "",
        words=describe_change(release.base, release.candidate),
        difference=difference_of(release.base, release.candidate),
        entries=timeline(release.log, verdicts),
    )


@router.get("/triggers/{id_}/{name}")
async def confirm(
    request: Request, id_: TriggerId, name: str, backend: Backend, user: CurrentUser, override: bool = False
) -> Response:
    """Say exactly what an action would do, and to how many regions, before it is done."""
    action = _action(name)
    feature, trigger = _current(backend, id_)
    fields = fields_of(action, trigger)
    decision = backend.preview(action.model, user, **fields)
    is_frozen = isinstance(decision, Refusal) and decision.code is RefusalCode.FROZEN
    if override and may_override(action):
        decision = backend.preview(action.model, user, **fields, override_freeze=True, reason="rehearsed")
    regions = backend.documents().regions.values()
    return render(
        request,
        "confirm.html",
        feature=feature,
        trigger=trigger,
        action=action,
        phase=fields.get("phase_id"),
        told=impact_of(feature, decision, regions) if isinstance(decision, FeatureEvent) else None,
        count=len(regions),
        why_not=None if isinstance(decision, FeatureEvent) else decision.message,  # type: ignore[union-attr]
        is_frozen=is_frozen,
        override=override,
    )


@router.post("/triggers/{id_}/{name}")
async def act(id_: TriggerId, name: str, backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Do it, for the phase that the person saw."""
    action = _action(name)
    _, trigger = _current(backend, id_)
    fields: dict[str, Any] = fields_of(action, trigger, str(form.get("phase") or "") or None)
    fields["reason"] = str(form.get("reason") or "").strip() or None
    if may_override(action):
        fields["override_freeze"] = form.get("override") == "yes"
    await backend.act(action.model, user, **fields)
    return redirect_to(f"/triggers/{id_}")


def _current(backend: ConsoleBackend, id_: str) -> tuple[Feature, Trigger]:
    """Return a feature and its newest trigger, which must be this one."""
    feature = backend.feature(feature_of(id_))
    if feature is None or feature.trigger is None:
        raise _nothing(id_)
    if feature.trigger.id != id_:
        raise HTTPException(
            409, f"{id_} is over; {feature.trigger.id} is the newest release of {feature.key}"
        )
    return feature, feature.trigger


def _nothing(id_: str) -> HTTPException:
    return HTTPException(404, f"there is no trigger {id_}")


def _action(name: str) -> PageAction:
    if action := ACTIONS.get(name):
        return action
    raise HTTPException(404, f"there is no action {name!r}; there are {', '.join(ACTIONS)}")
