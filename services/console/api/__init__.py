"""Our own API under `/api/v1`."""

from fastapi import APIRouter

from . import events, me

router = APIRouter(prefix="/api/v1")
for part in (me, events):
    router.include_router(part.router)
