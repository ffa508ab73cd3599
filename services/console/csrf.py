"""Protection against cross-site request forgery, for requests that a session's cookie authenticates.

Another site can make a browser send our cookie, but it cannot read the token of the session. So a
request that may change something must show that token: scripts in a header, forms in a field.
"""

import hmac
import secrets
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import HTTPException, Request
from starlette.datastructures import FormData

#: Where scripts put the token.
CSRF_HEADER = "X-CSRF-Token"
#: The token's field in forms, and its key in the session.
CSRF_FIELD = "csrf"
#: How browsers send the forms of our pages. Nothing else is parsed: no form of ours has a file.
FORM_TYPE = "application/x-www-form-urlencoded"
#: Fields of a form.
FORM_FIELDS_MAX = 1_000
#: Methods that change nothing, so that they need no token.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def renew_csrf_token(session: MutableMapping[str, Any]) -> None:
    """Put a new token into a session."""
    session[CSRF_FIELD] = secrets.token_urlsafe(24)


def ensure_csrf_token(session: MutableMapping[str, Any]) -> None:
    """Put a token into a session that has none."""
    if CSRF_FIELD not in session:
        renew_csrf_token(session)


def csrf_token(request: Request) -> str:
    """Return the token of the request's session; empty if it has none."""
    return str(request.scope.get("session", {}).get(CSRF_FIELD, ""))


def require_csrf_header(request: Request) -> None:
    """Refuse (403) an unsafe request whose header does not hold the token of its session."""
    if request.method not in SAFE_METHODS:
        _require_csrf(request, request.headers.get(CSRF_HEADER, ""))


async def csrf_checked_form(request: Request) -> FormData:
    """Return the fields of a posted form; 403 if they do not hold the token of the session."""
    form = await _posted_form(request)
    _require_csrf(request, str(form.get(CSRF_FIELD, "")))
    return form


async def _posted_form(request: Request) -> FormData:
    """Return the fields of a posted form, as UTF-8 whatever it claims to be; 400 for another type."""
    content_type = request.headers.get("content-type", FORM_TYPE)
    if content_type.partition(";")[0].strip().lower() != FORM_TYPE:
        raise HTTPException(400, f"send the form as {FORM_TYPE}")
    text = (await request.body()).decode("latin-1")
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise HTTPException(400, f"the form has too many fields: at most {FORM_FIELDS_MAX}") from None
    return FormData([*fields])


def _require_csrf(request: Request, token: str) -> None:
    expected = csrf_token(request)
    if not expected or not hmac.compare_digest(token.encode(), expected.encode()):
        raise HTTPException(
            403,
            f"missing or wrong CSRF token: reload the page and try again (scripts: send {CSRF_HEADER})",
        )
