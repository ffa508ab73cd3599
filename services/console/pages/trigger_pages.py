"""The page of a release, and its actions: each one first shows exactly what it would do."""

from functools import partial

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from sluiceway.contracts.commands import PhaseCommand
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, Trigger
from sluiceway.contracts.identifiers import TriggerId, feature_of
from sluiceway.contracts.replies import Refusal, RefusalCode

from ..backend import ConsoleBackend
from ..dependencies import Backend
from .action_offers import PAGE_ACTIONS, PageAction, action_offers
from .drafts import PREVIEW_REASON
from .impact import impact_of
from .progress import release_progress
from .release_detail import phase_card, release_changes, release_detail, timeline
from .renderer import render
from .session import CurrentUser, PostedForm, posted_reason, redirect_to

router = APIRouter()


@router.get("/triggers/{id_}")
async def show(request: Request, id_: TriggerId, backend: Backend, user: CurrentUser) -> Response:
    """Show a release, active or ended."""
    release = await release_detail(backend, id_)
    if release is None:
        raise _unknown_trigger(id_)
    trigger = release.trigger
    rounds, verdicts = await backend.measurements.rounds(id_), await backend.measurements.verdicts(id_)
    first = release.log[0]
    changes = await backend.in_thread(
        user,
        partial(release_changes, release.base, release.candidate),
        ("changes", id_, first.revision_tag),
    )
    return render(
        request,
        "trigger.html",
        feature=release.feature,
        release=release_progress(trigger),
        offers=action_offers(backend, user, trigger) if trigger.status.is_active else [],
        lapsed=release.lapsed,
        phases=[phase_card(backend, trigger, run, rounds) for run in trigger.phases],
        candidate=changes.candidate,
        changes=changes.sentences,
        diff=changes.diff,
        entries=timeline(release.log, verdicts),
    )


@router.get("/triggers/{id_}/{name}")
async def confirm(
    request: Request, id_: TriggerId, name: str, backend: Backend, user: CurrentUser, override: bool = False
) -> Response:
    """Show what an action would do, and in which regions, before it is taken."""
    action = _action(name)
    feature, trigger = _newest_release(backend, id_)
    command = action.command(trigger, user, {})
    decision = backend.preview_action(command, user)
    is_frozen = isinstance(decision, Refusal) and decision.code is RefusalCode.FROZEN
    if override and action.spec.may_start_phase:
        command = action.command(trigger, user, {}, reason=PREVIEW_REASON, override_freeze=True)
        decision = backend.preview_action(command, user)
    regions = backend.documents().regions.values()
    return render(
        request,
        "confirm.html",
        feature=feature,
        trigger=trigger,
        action=action,
        command_id=command.id,
        phase=command.phase_id if isinstance(command, PhaseCommand) else None,
        impact=impact_of(feature, decision, regions) if isinstance(decision, FeatureEvent) else None,
        count=len(regions),
        why_not=None if isinstance(decision, FeatureEvent) else decision.message,  # type: ignore[union-attr]
        is_frozen=is_frozen,
        override=override,
    )


@router.post("/triggers/{id_}/{name}")
async def act(id_: TriggerId, name: str, backend: Backend, user: CurrentUser, form: PostedForm) -> Response:
    """Take an action, for the phase that the user saw; a form that is sent twice acts once."""
    action = _action(name)
    _, trigger = _newest_release(backend, id_)
    command = action.command(
        trigger,
        user,
        {option.name: str(form[option.name]) for option in action.spec.options if option.name in form},
        command_id=str(form.get("command") or "") or None,
        phase_id=str(form.get("phase") or "") or None,
        reason=posted_reason(form),
        override_freeze=form.get("override") == "yes",
    )
    await backend.execute(command, user)
    return redirect_to(f"/triggers/{id_}")


def _newest_release(backend: ConsoleBackend, id_: str) -> tuple[Feature, Trigger]:
    """Return a feature and its newest trigger, which must have this id."""
    feature = backend.feature(feature_of(id_))
    if feature is None or feature.trigger is None:
        raise _unknown_trigger(id_)
    if feature.trigger.id != id_:
        raise HTTPException(
            409, f"{id_} has ended; the newest release of {feature.key} is {feature.trigger.id}"
        )
    return feature, feature.trigger


def _unknown_trigger(id_: str) -> HTTPException:
    return HTTPException(404, f"trigger {id_} does not exist")


def _action(name: str) -> PageAction:
    if action := PAGE_ACTIONS.get(name):
        return action
    raise HTTPException(404, f"unknown action {name!r} (known: {', '.join(PAGE_ACTIONS)})")
