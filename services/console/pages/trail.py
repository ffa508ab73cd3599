"""The audit trail, as a page: the same entries that the API gives."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from ..api.audit import LIMIT, Asked, Log, page_of
from ..asked import AtDesk
from .rendering import render
from .visitors import Visitor

router = APIRouter()


@router.get("/audit")
async def show(
    request: Request,
    desk: AtDesk,
    visitor: Visitor,
    wanted: Asked,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> Response:
    """Show who did what, the newest first."""
    found = await page_of(desk, wanted, before, LIMIT)
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
