"""The Console API under `/console/v1`, as existing scripts speak it.

The header `x-respect-review-settings` changes nothing: a review that a phase needs is always respected.

Source: https://docs.statsig.com/console-api/release-pipelines
"""

from fastapi import APIRouter

from . import config_routes, environment_routes, gate_routes, pipeline_routes, trigger_routes

router = APIRouter(prefix="/console/v1")
for part in (pipeline_routes, trigger_routes, gate_routes, config_routes, environment_routes):
    router.include_router(part.router)
