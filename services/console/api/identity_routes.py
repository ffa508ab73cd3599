"""`/api/v1/me`: who the caller is, and what the caller may do."""

from fastapi import APIRouter

from sluiceway.contracts.identity import Identity

from ..dependencies import Caller
from ..errors import responses

router = APIRouter(tags=["identity"])


@router.get("/me", responses=responses(401, 429, 503))
async def me(caller: Caller) -> Identity:
    """Return the identity of the key or session, with its grants."""
    return caller
