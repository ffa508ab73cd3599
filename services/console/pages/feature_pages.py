"""Features: what there is, and of each what is live, who refers to it, and how it came to be."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import Response

from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind, Name
from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.feature_summary import feature_status
from sluiceway.pipelines.references import feature_references, users_of

from ..dependencies import Backend
from ..limits import Page
from .describe import describe_rule
from .drafts import parse_draft, text_of_feature
from .release_detail import timeline
from .renderer import render
from .session import CurrentUser

router = APIRouter()

PAGE_SIZE = 50
HISTORY_MAX = 100


@router.get("/features")
async def list_features(
    request: Request,
    backend: Backend,
    user: CurrentUser,
    q: Annotated[str, Query(max_length=100)] = "",
    kind: FeatureKind | Literal[""] = "",
    page: Page = 1,
) -> Response:
    """List features, by name; only those of the page are parsed."""
    found = sorted(
        (e for e in backend.features if kind in ("", e.key.kind) and q.lower() in e.key.name.lower()),
        key=lambda entry: (entry.key.name, entry.key.kind),
    )
    shown = [entry.event.feature for entry in found[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]]
    return render(
        request,
        "features.html",
        rows=[(feature, feature_status(feature)) for feature in shown],
        count=len(found),
        q=q,
        kind=kind,
        kinds=list(FeatureKind),
        page=page,
        pages=-(-len(found) // PAGE_SIZE),
    )


@router.get("/features/{kind}/{name}")
async def show(
    request: Request, kind: FeatureKind, name: Name, backend: Backend, user: CurrentUser
) -> Response:
    """Show a feature."""
    feature = backend.feature(FeatureKey(kind, name))
    if feature is None:
        raise HTTPException(404, f"there is no {kind}.{name}")
    log = await backend.log.read_history(feature.key)
    text = text_of_feature(feature)
    return render(
        request,
        "feature.html",
        feature=feature,
        status=feature_status(feature),
        rules=[(rule.name, describe_rule(rule)) for rule in feature.base.rules] if feature.base else [],
        text=text,
        entries=timeline(log[-HISTORY_MAX:], []),
        refers_to=sorted(set(feature_references(feature))),
        users=users_of(feature.key.spec_name, backend.features.references()),
        why_not=_why_not(backend, user, text),
    )


def _why_not(backend: Backend, user: CurrentUser, text: str) -> str | None:
    """Say why somebody may not edit a feature; None where they may."""
    document = parse_draft(backend, text).document
    decision = backend.preview(SaveFeature, user, feature=document)
    codes = (RefusalCode.NOT_ALLOWED, RefusalCode.TRIGGER_ACTIVE)
    return decision.message if isinstance(decision, Refusal) and decision.code in codes else None
