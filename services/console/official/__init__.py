"""The Console API under `/console/v1`, as existing scripts speak it.

The header `x-respect-review-settings` changes nothing: a review that a phase needs is always respected.

Source: https://docs.statsig.com/console-api/release-pipelines
"""

from fastapi import APIRouter

from . import configs, environments, gates, pipelines, triggers

router = APIRouter(prefix="/console/v1")
for part in (pipelines, triggers, gates, configs, environments):
    router.include_router(part.router)
