"""The Console API under `/console/v1`, as existing scripts speak it.

Source: https://docs.statsig.com/console-api/release-pipelines
"""

from fastapi import APIRouter

from . import environments

router = APIRouter(prefix="/console/v1")
router.include_router(environments.router)
