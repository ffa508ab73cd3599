"""The web page: rendered on the server, updated by one small script, without a build step.

- `renderer`: renders templates; `session`: who is signed in; `sign_in_pages`: signs in and out
- one file per page: `overview_page`, `trigger_pages`, `feature_pages`, `pipeline_pages`, `audit_page`
- `editor_pages` and `pipeline_form` edit `drafts`, whose text is YAML (`document_text`)
- what pages show: `progress`, `release_detail`, `plots`, `action_offers`, `impact`, `diff`, `describe`
"""

from pathlib import Path

from fastapi import APIRouter
from starlette.staticfiles import StaticFiles

from . import (
    audit_page,
    editor_pages,
    feature_pages,
    overview_page,
    pipeline_form,
    pipeline_pages,
    sign_in_pages,
    trigger_pages,
)

router = APIRouter(include_in_schema=False)
for page in (
    sign_in_pages,
    overview_page,
    trigger_pages,
    editor_pages,
    pipeline_form,
    feature_pages,
    pipeline_pages,
    audit_page,
):
    router.include_router(page.router)

#: Style sheet, scripts and images; served without authentication.
static = StaticFiles(directory=Path(__file__).parent / "static")
