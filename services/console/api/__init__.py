"""Our own API under `/api/v1`."""

from fastapi import APIRouter

from . import me

router = APIRouter(prefix="/api/v1")
router.include_router(me.router)
