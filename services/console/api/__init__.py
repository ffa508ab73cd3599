"""Our own API under `/api/v1`: one file per resource."""

from fastapi import APIRouter, Depends

from ..dependencies import refuse_deep_body
from . import (
    alert_source_routes,
    audit_routes,
    event_routes,
    freeze_routes,
    identity_routes,
    key_routes,
    region_routes,
    release_routes,
    simulation_routes,
)

router = APIRouter(prefix="/api/v1", dependencies=[Depends(refuse_deep_body)])
for part in (
    identity_routes,
    region_routes,
    release_routes,
    freeze_routes,
    alert_source_routes,
    simulation_routes,
    audit_routes,
    key_routes,
    event_routes,
):
    router.include_router(part.router)
