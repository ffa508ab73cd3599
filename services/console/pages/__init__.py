"""The page: rendered here, kept live by one small script, without a build step.

- `rendering`: templates, and what each of them may use
- `visitors`: who looks, by the session's cookie; `signing_in`: how somebody gets one
- a file per page: `overview`, `triggers`, `features`, `pipelines`; `editing` and `forms` write them,
  by way of `drafts`; what they show comes from `tracks`, `release`, `plots`,
  `actions`, `consequences` and `words`
"""

from pathlib import Path

from fastapi import APIRouter
from starlette.staticfiles import StaticFiles

from . import editing, features, forms, overview, pipelines, signing_in, trail, triggers

router = APIRouter(include_in_schema=False)
for page in (signing_in, overview, triggers, editing, forms, features, pipelines, trail):
    router.include_router(page.router)

#: Style, scripts and pictures; nothing of them is secret.
static = StaticFiles(directory=Path(__file__).parent / "static")
