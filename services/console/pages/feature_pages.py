"""Features: a list, and for each one what is live, its references and its history."""

import heapq
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind, Name
from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.feature_summary import feature_status
from sluiceway.pipelines.feature_documents import authored_document
from sluiceway.pipelines.references import feature_references

from ..dependencies import Backend
from ..limits import Page
from .describe import describe_rule
from .drafts import current_text
from .release_detail import timeline
from .renderer import render
from .session import CurrentUser

router = APIRouter()

PAGE_SIZE = 50
HISTORY_MAX = 100
#: Features named that refer to this one; the page also shows how many there are.
NAMED_MAX = 100


@router.get("/features")
async def list_features(
    request: Request,
    backend: Backend,
    user: CurrentUser,
    q: Annotated[str, Query(max_length=100)] = "",
    kind: FeatureKind | Literal[""] = "",
    page: Page = 1,
) -> Response:
    """List features, by name. Only those of the page are parsed."""
    keys = backend.names.sorted(kind or None)
    if q:
        keys = [key for key in keys if q.lower() in key.name.lower()]
    entries = map(backend.features.get, keys[(page - 1) * PAGE_SIZE : page * PAGE_SIZE])
    features = [entry.event.feature for entry in entries if entry]
    return render(
        request,
        "features.html",
        rows=[(feature, feature_status(feature)) for feature in features],
        count=len(keys),
        q=q,
        kind=kind,
        kinds=list(FeatureKind),
        page=page,
        pages=-(-len(keys) // PAGE_SIZE),
    )


@router.get("/features/{kind}/{name}")
async def show(
    request: Request, kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser
) -> Response:
    """Show a feature."""
    feature, entry = backend.feature(FeatureKey(kind, name)), backend.features.get(FeatureKey(kind, name))
    if feature is None or entry is None:
        raise HTTPException(404, f"{kind}.{name} does not exist")
    log = await backend.log.read_history(feature.key)
    users = backend.features.references.referrers(feature.key.spec_name)
    return render(
        request,
        "feature.html",
        feature=feature,
        status=feature_status(feature),
        rules=[(rule.name, describe_rule(rule)) for rule in feature.base.rules] if feature.base else [],
        text=await current_text(backend, user, entry),
        entries=timeline(log[-HISTORY_MAX:], []),
        refers_to=sorted(set(feature_references(feature))),
        users=heapq.nsmallest(NAMED_MAX, users),
        user_count=len(users),
        why_not=await _why_not_editable(backend, user, feature),
    )


async def _why_not_editable(backend: Backend, user: CurrentUser, feature: Feature) -> str | None:
    """Return why a user may not edit a feature now; None if it is allowed."""
    command = SaveFeature(actor=user.name, feature=authored_document(feature))
    decision = await backend.preview(command, user)
    codes = (RefusalCode.NOT_ALLOWED, RefusalCode.TRIGGER_ACTIVE)
    return decision.message if isinstance(decision, Refusal) and decision.code in codes else None
