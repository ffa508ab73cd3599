"""`/api/v1/audit`: who changed what, when and why."""

import json
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query
from starlette.responses import StreamingResponse
from starlette.types import Send

from sluiceway.contracts.audit_records import AuditType
from sluiceway.contracts.events import EventType
from sluiceway.contracts.identifiers import FeatureKind, Name, feature_key
from sluiceway.contracts.identity import Identity, Role
from sluiceway.errors import Unavailable

from ..audit import PAGE_LIMIT, AuditEntry, AuditPage, AuditQuery, AuditStream
from ..dependencies import Backend, Caller
from ..errors import READING, responses
from ..limits import Moment

log = logging.getLogger(__name__)

router = APIRouter(tags=["audit"])

LIMIT_MAX = 500
FEATURE_PATTERN = rf"^({'|'.join(FeatureKind)})\.[A-Za-z0-9_-]{{1,100}}$"
JSON_LINES = "application/jsonl"


class ExportResponse(StreamingResponse):
    """JSON Lines whose connection is closed, before their end, if they cannot all be read."""

    media_type = JSON_LINES

    async def stream_response(self, send: Send) -> None:
        """Send the lines; without the end of the body if reading them fails."""
        try:
            await super().stream_response(send)
        except Unavailable as error:
            log.warning("an export ends before its last line: %s", error)


def _audit_query(
    log: AuditStream = AuditStream.FEATURES,
    actor: Annotated[str | None, Query(max_length=200)] = None,
    feature: Annotated[str | None, Query(pattern=FEATURE_PATTERN, description="gate.new_checkout")] = None,
    pipeline: Name | None = None,
    type: Annotated[
        EventType | AuditType | None, Query(description="The type of an event or audit record.")
    ] = None,
    since: Annotated[
        Moment | None, Query(description="From this time on, RFC 3339; UTC without a zone.")
    ] = None,
    until: Annotated[
        Moment | None, Query(description="Before this time, RFC 3339; UTC without a zone.")
    ] = None,
) -> AuditQuery:
    key = feature_key(feature) if feature else None
    return AuditQuery(log, actor, key, pipeline, type, _milliseconds(since), _milliseconds(until))


#: The query that a request's parameters make up.
RequestedAudit = Annotated[AuditQuery, Depends(_audit_query)]
Before = Annotated[int | None, Query(ge=1, le=2**53, description="`next` of the previous page.")]


@router.get("/audit", responses={**READING, **responses(403)})
async def audit(
    backend: Backend,
    caller: Caller,
    query: RequestedAudit,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = PAGE_LIMIT,
) -> AuditPage:
    """Return changes, newest first. New changes do not move later pages. The log `access` is for admins."""
    require_access(caller, query)
    return await backend.audit.page(query, before, limit)


@router.get(
    "/audit/export",
    response_class=StreamingResponse,
    responses={200: {"content": {JSON_LINES: {"schema": {"type": "string"}}}}, **READING, **responses(403)},
)
async def export(backend: Backend, caller: Caller, query: RequestedAudit) -> StreamingResponse:
    """Return all changes as JSON Lines, oldest first."""
    require_access(caller, query)
    return ExportResponse(_lines(backend.audit.export(query)))


def require_access(caller: Identity, query: AuditQuery) -> None:
    """Refuse (403) the sign-ins and refusals of others to everybody but admins."""
    if query.log is AuditStream.ACCESS and not any(grant.role is Role.ADMIN for grant in caller.grants):
        raise HTTPException(403, f"{caller.name} may not see who signed in: that needs the role admin")


async def _lines(entries: AsyncIterator[AuditEntry]) -> AsyncIterator[bytes]:
    async for entry in entries:
        yield json.dumps(entry.to_jsonable(), ensure_ascii=False).encode() + b"\n"


def _milliseconds(moment: datetime | None) -> float | None:
    return moment.timestamp() * 1_000 if moment else None
