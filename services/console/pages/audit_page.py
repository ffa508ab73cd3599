"""The audit log as a page: the same entries that the API returns."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..api.audit_routes import Before, RequestedAudit, require_access
from ..audit import AuditStream
from ..dependencies import Backend
from .renderer import render
from .session import CurrentUser

router = APIRouter()


@router.get("/audit")
async def show(
    request: Request, backend: Backend, user: CurrentUser, query: RequestedAudit, before: Before = None
) -> Response:
    """Show who did what, newest first."""
    require_access(user, query)
    page = await backend.audit.page(query, before)
    parameters = request.query_params
    filters = urlencode([(name, value) for name, value in parameters.items() if name != "before"])
    return render(
        request,
        "audit.html",
        entries=page.data,
        next=page.next,
        filters=filters,
        actor=parameters.get("actor", ""),
        log=parameters.get("log", AuditStream.FEATURES),
        logs=list(AuditStream),
    )
