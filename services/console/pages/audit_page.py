"""The audit trail, as a page: the same entries that the API gives."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ..api.audit_routes import LIMIT, Log, RequestedAudit, page_of
from ..dependencies import Backend
from .renderer import render
from .session import Visitor

router = APIRouter()


@router.get("/audit")
async def show(
    request: Request,
    backend: Backend,
    visitor: Visitor,
    wanted: RequestedAudit,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> Response:
    """Show who did what, the newest first."""
    found = await page_of(backend, wanted, before, LIMIT)
    query = request.query_params
    others = urlencode([(name, value) for name, value in query.items() if name != "before"])
    return render(
        request,
        "audit.html",
        entries=found.data,
        next=found.next,
        others=others,
        actor=query.get("actor", ""),
        log=query.get("log", Log.FEATURES),
        logs=list(Log),
    )
