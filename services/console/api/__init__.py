"""Our own API under `/api/v1`."""

from fastapi import APIRouter

from . import audit, events, freezes, keys, me, regions, releases, simulate

router = APIRouter(prefix="/api/v1")
for part in (me, regions, releases, freezes, simulate, audit, keys, events):
    router.include_router(part.router)
