"""The overview: active releases as tracks of phases, and regions with what they run."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..asked import AtDesk
from .rendering import render
from .visitors import Visitor

router = APIRouter()


@router.get("/")
async def overview(request: Request, desk: AtDesk, visitor: Visitor) -> Response:
    """Show everything that moves."""
    return render(request, "overview.html")
