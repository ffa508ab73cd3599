"""The Console API under `/console/v1`, as existing scripts use it.

The header `x-respect-review-settings` has no effect: a review that a phase needs is always respected.

- one file per resource: `pipeline_routes`, `trigger_routes`, `environment_routes`
- `gate_routes` and `config_routes`: what differs between the two; `feature_routes`: what they share
- `bodies`: their request bodies; `documents`: bodies → our documents
- `feature_resource`: reads and changes features; `official_features`, `official_triggers`: their JSON
- `responses`: the envelope of every response

Source: https://docs.statsig.com/console-api/release-pipelines
"""

from fastapi import APIRouter, Depends

from ..dependencies import refuse_deep_body
from . import config_routes, environment_routes, gate_routes, pipeline_routes, trigger_routes

router = APIRouter(prefix="/console/v1", dependencies=[Depends(refuse_deep_body)])
for part in (pipeline_routes, trigger_routes, gate_routes, config_routes, environment_routes):
    router.include_router(part.router)
