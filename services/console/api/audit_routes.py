"""`/api/v1/audit`: who changed what, when and why, from the logs themselves."""

import json
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.responses import StreamingResponse

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.events import EventType
from sluiceway.contracts.identifiers import FeatureKind, Name, feature_key
from sluiceway.contracts.models import WireModel
from sluiceway.messaging.history import read_records
from sluiceway.messaging.stream_follower import Record

from ..backend import ConsoleBackend
from ..dependencies import Backend, Caller
from ..errors import READING
from ..limits import Moment

router = APIRouter(tags=["audit"])

LIMIT = 50
LIMIT_MAX = 500
#: Messages read at a time on the way back, and looked at for one page at most.
WINDOW = 500
LOOKED_AT_MAX = 20_000
FEATURE_PATTERN = rf"^({'|'.join(FeatureKind)})\.[A-Za-z0-9_-]{{1,100}}$"
JSON_LINES = "application/jsonl"


class Log(StrEnum):
    """Which of the two logs."""

    #: every event of gates, configs and segments, from the first one on
    FEATURES = "features"
    #: environments, regions, pipelines, freezes and keys: the newest changes of each
    CATALOGUE = "catalogue"


class AuditEntry(WireModel):
    """One change."""

    #: Its place in its log.
    revision: int
    time_ms: int
    actor_id: str
    #: The key or service that vouches for the actor; null: nobody does.
    vouched_by: str | None
    #: What happened: the type of an event, or the verb that changed a document.
    type: str
    #: `gate.new_checkout`, or `pipeline.prod-release`.
    about: str
    trigger_id: str | None = None
    pipeline_id: str | None = None
    phase_id: str | None = None
    reason: str | None = None
    #: Freezes that were overridden.
    overrode: list[str] = []
    #: The alert or guardrail that it answers.
    alert: dict[str, Any] = {}
    guardrail: dict[str, Any] = {}


class AuditPage(WireModel):
    """Some changes, the newest first."""

    data: list[AuditEntry]
    #: Give this as `before` to go on; null at the end.
    next: int | None


class _Pipeline(msgspec.Struct):
    id: str = ""


class _Trigger(msgspec.Struct):
    id: str = ""
    pipeline: _Pipeline = msgspec.field(default_factory=_Pipeline)


class _State(msgspec.Struct):
    trigger: _Trigger | None = None


class _Event(msgspec.Struct, rename="camel"):
    """The little of an event that a trail tells; the state is skipped."""

    type: str
    time_ms: int
    actor_id: Annotated[str, msgspec.Meta()] = msgspec.field(name="actorID")
    vouched_by: str | None = None
    reason: str | None = None
    phase_id: str | None = msgspec.field(name="phaseID", default=None)
    overrode: list[str] = []
    alert: dict[str, Any] = {}
    guardrail: dict[str, Any] = {}
    feature: _State = msgspec.field(default_factory=_State)


_EVENTS = msgspec.json.Decoder(_Event)


class AuditQuery(NamedTuple):
    """What somebody looks for."""

    log: Log
    feature: str | None
    matches: Callable[[AuditEntry], bool]

    @property
    def stream(self) -> str:
        return subjects.FEATURES_STREAM if self.log is Log.FEATURES else subjects.CATALOG_STREAM

    @property
    def subject(self) -> str:
        if self.log is Log.CATALOGUE:
            return subjects.CATALOG
        return subjects.feature(feature_key(self.feature)) if self.feature else subjects.FEATURES


def _wanted(
    log: Log = Log.FEATURES,
    actor: Annotated[str | None, Query(max_length=200)] = None,
    feature: Annotated[str | None, Query(pattern=FEATURE_PATTERN, description="gate.new_checkout")] = None,
    pipeline: Name | None = None,
    type: Annotated[EventType | None, Query(description="Of an event.")] = None,
    since: Annotated[Moment | None, Query(description="RFC 3339; from then on.")] = None,
    until: Annotated[Moment | None, Query(description="RFC 3339; before that.")] = None,
) -> AuditQuery:
    def matches(entry: AuditEntry) -> bool:
        return (
            actor in (None, entry.actor_id)
            and pipeline in (None, entry.pipeline_id)
            and type in (None, entry.type)
            and (since is None or entry.time_ms >= since.timestamp() * 1_000)
            and (until is None or entry.time_ms < until.timestamp() * 1_000)
        )

    return AuditQuery(log, feature, matches)


RequestedAudit = Annotated[AuditQuery, Depends(_wanted)]


@router.get("/audit", responses=READING)
async def audit(
    backend: Backend,
    caller: Caller,
    wanted: RequestedAudit,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT,
) -> AuditPage:
    """Show changes, the newest first. New ones do not move the pages behind the first."""
    return await page_of(backend, wanted, before, limit)


async def page_of(backend: ConsoleBackend, wanted: AuditQuery, before: int | None, limit: int) -> AuditPage:
    """Return changes before a revision, the newest first."""
    found: list[AuditEntry] = []
    end = before - 1 if before else _end(backend, wanted)
    stop = max(0, end - LOOKED_AT_MAX)
    while end > stop:
        start = max(0, end - WINDOW)
        window = [entry async for entry in _entries(backend, wanted, start, end)]
        for entry in reversed(window):
            if len(found) == limit:
                return AuditPage(data=found, next=found[-1].revision)
            found.append(entry)
        end = start
    return AuditPage(data=found, next=end + 1 if end > 0 else None)


@router.get(
    "/audit/export",
    response_class=StreamingResponse,
    responses={200: {"content": {JSON_LINES: {"schema": {"type": "string"}}}}, **READING},
)
async def export(backend: Backend, caller: Caller, wanted: RequestedAudit) -> StreamingResponse:
    """Give all changes as JSON Lines, the oldest first."""
    return StreamingResponse(_lines(backend, wanted, _end(backend, wanted)), media_type=JSON_LINES)


async def _lines(backend: ConsoleBackend, wanted: AuditQuery, end: int) -> AsyncIterator[bytes]:
    async for entry in _entries(backend, wanted, 0, end):
        yield json.dumps(entry.to_jsonable(), ensure_ascii=False).encode() + b"\n"


def _end(backend: ConsoleBackend, wanted: AuditQuery) -> int:
    view = backend.features if wanted.log is Log.FEATURES else backend.catalogue
    return view.follower.position.sequence


async def _entries(
    backend: ConsoleBackend, wanted: AuditQuery, after: int, until: int
) -> AsyncIterator[AuditEntry]:
    entry_of = _of_event if wanted.log is Log.FEATURES else _of_document
    async for record in read_records(
        backend.connection.js, wanted.stream, wanted.subject, after=after, until=until
    ):
        if (entry := entry_of(record)) and wanted.matches(entry):
            yield entry


def _of_event(record: Record) -> AuditEntry | None:
    try:
        event = _EVENTS.decode(record.data)
    except msgspec.DecodeError:  # somebody published what is no event; the dead letters hold it
        return None
    trigger = event.feature.trigger
    return AuditEntry(
        revision=record.sequence,
        time_ms=event.time_ms,
        actor_id=event.actor_id,
        vouched_by=event.vouched_by,
        type=event.type,
        about=str(subjects.parse_feature(record.subject)),
        trigger_id=trigger.id if trigger else None,
        pipeline_id=trigger.pipeline.id if trigger else None,
        phase_id=event.phase_id,
        reason=event.reason,
        overrode=event.overrode,
        alert=event.alert,
        guardrail=event.guardrail,
    )


def _of_document(record: Record) -> AuditEntry:
    kind, id_ = subjects.parse_catalogue(record.subject)
    headers = record.headers
    return AuditEntry(
        revision=record.sequence,
        time_ms=record.time_ms,
        actor_id=headers.get(envelope.ACTOR, ""),
        vouched_by=headers.get(envelope.VOUCHED_BY),
        type=headers.get(envelope.CE_TYPE, "").removeprefix("sluiceway."),
        about=f"{kind}.{id_}",
        pipeline_id=id_ if kind == "pipeline" else None,
        reason=headers.get(envelope.WHY) or None,
    )
