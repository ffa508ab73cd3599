"""Reads the current state from the streams: follows each to its end, then stops."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from nats.errors import Error as NatsError

from ..clock import now_ms
from ..contracts import subjects
from ..contracts.applied_reports import AppliedReport, parse_report
from ..contracts.commands import ReadFeature
from ..contracts.feature import Feature
from ..contracts.identifiers import FeatureKey, FeatureKind
from ..contracts.replies import RefusalCode
from ..contracts.revisions import NOTHING_STORED, RevisionTag
from ..contracts.rule_document import RuleDocument
from ..errors import Rejected, Unavailable
from ..messaging.catalogue_store import CatalogueView
from ..messaging.command_client import CommandClient
from ..messaging.connection import Connection
from ..messaging.decision_view import DecisionView
from ..messaging.feature_edits import FeatureReading
from ..messaging.feature_log import FeatureLog, LoggedEvent
from ..messaging.feature_view import FeatureEntry
from ..messaging.rules_streams import RulesStreams, read_rules_streams
from ..messaging.stall_retries import STALL_SECONDS_MAX, through_stalls
from ..messaging.stream_follower import Follower
from ..messaging.stream_records import Record
from ..pipelines.approvals import without_lapsed_approvals
from ..pipelines.catalogue_decisions import Usage
from ..pipelines.decision import Catalogue
from ..pipelines.reference_graph import ReferenceGraph
from .session import CommandFailed

#: For one reading: a cluster of brokers answers nothing for some seconds while it elects a leader.
READ_TIMEOUT_SECONDS = STALL_SECONDS_MAX
#: Refusals of a query that say nothing about its sender: it is of no known kind, or cannot be answered now.
WITHOUT_ANSWER = frozenset({RefusalCode.UNKNOWN_COMMAND, RefusalCode.RATE_LIMITED, RefusalCode.UNAVAILABLE})
NO_STREAMS = "the broker answers, but it has no Sluiceway streams yet; is a scheduler running?"


async def read_catalogue(connection: Connection) -> Catalogue:
    """Return the environments, regions, pipelines, freezes, sources of alerts and keys."""
    view = CatalogueView(connection)
    async with view, _read_timeout():
        await through_stalls(view.catch_up)
        return view.catalogue()


async def read_revision(connection: Connection, kind: str, id_: str) -> RevisionTag:
    """Return the revision of a document of the catalogue."""
    view = CatalogueView(connection)
    async with view, _read_timeout():
        await through_stalls(view.catch_up)
        return view.revision_tag(kind, id_)


async def read_features(connection: Connection) -> list[LoggedEvent]:
    """Return the newest event of every feature, by kind and name."""
    async with open_feature_view(connection) as view:
        events = [await _newest(connection, entry) for entry in view]
    return sorted(filter(None, events), key=lambda logged: logged.event.feature.key)


async def read_feature(connection: Connection, kind: FeatureKind, name: str) -> FeatureReading:
    """Return the state of one feature, and its revision.

    Who has permissions of his own may not ask the stream's leader. A scheduler does; if none answers, or
    only one of an older version, any replica is asked, which may be behind.
    """
    log, key = FeatureLog(connection, ""), FeatureKey(kind, name)
    if connection.principal is not None and (reading := await _asked_scheduler(connection, key)):
        return reading
    is_leaders = connection.principal is None
    read = log.newest_tail if is_leaders else log.tail
    tail = await through_stalls(lambda: read(key))
    feature = tail.logged.event.feature if tail.logged else None
    return FeatureReading(feature, tail.revision_tag, may_be_old=not is_leaders)


async def _asked_scheduler(connection: Connection, key: FeatureKey) -> FeatureReading | None:
    """Return what a scheduler says of a feature, None if none says it; `CommandFailed` if it refuses."""
    assert connection.principal
    query = ReadFeature(actor=connection.principal, kind=key.kind, name=key.name)
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            reply = await CommandClient(connection).send(query)
    except (Unavailable, TimeoutError):
        return None
    if reply.refusal is not None:
        if reply.refusal.code in WITHOUT_ANSWER:
            return None
        raise CommandFailed(reply.refusal.message, reply.refusal.to_jsonable())
    revision = reply.revision_tag or NOTHING_STORED
    if reply.feature is None and revision != NOTHING_STORED:  # it did not fit into the reply
        return None
    return FeatureReading(reply.feature, revision)


async def counted(connection: Connection, features: Sequence[Feature]) -> list[Feature]:
    """Return the features without the approvals that no longer count.

    It reads the keys only if a phase waits with an approval that was given with one.
    """
    if not any(map(_has_key_approvals, features)):
        return list(features)
    keys, now = (await read_catalogue(connection)).api_keys, now_ms()
    return [without_lapsed_approvals(feature, keys.get, now) for feature in features]


async def read_usage(connection: Connection) -> Usage:
    """Return which features use which pipelines."""
    async with open_feature_view(connection) as view:
        return view.usage


async def read_references(connection: Connection) -> ReferenceGraph:
    """Return which features each feature refers to."""
    async with open_feature_view(connection) as view:
        return view.references


async def read_rules(connection: Connection, region: str) -> list[RuleDocument]:
    """Return the rule documents of a region, by kind and name."""
    documents: dict[str, RuleDocument] = {}

    def on_record(record: Record) -> None:
        documents.pop(record.subject, None)
        if not (record.is_deletion or subjects.is_complete_set(record.subject)):
            documents[record.subject] = RuleDocument.model_validate_json(record.data, extra="ignore")

    stream = (await _rules_streams(connection)).of(region)
    await _read(connection, stream, subjects.rules_of(region), on_record)
    return sorted(documents.values(), key=lambda document: document.key)


async def read_reports(connection: Connection) -> dict[str, list[AppliedReport]]:
    """Return the newest report of every instance that is running, by region."""
    newest: dict[str, AppliedReport] = {}

    def on_record(record: Record) -> None:
        with suppress(ValueError):  # not of an instance of ours
            newest[record.subject] = parse_report(record.subject, record.data)

    await _read(connection, subjects.APPLIED_STREAM, subjects.APPLIED, on_record)
    by_region: dict[str, list[AppliedReport]] = defaultdict(list)
    for report in newest.values():
        by_region[report.region].append(report)
    return by_region


@asynccontextmanager
async def open_feature_view(connection: Connection) -> AsyncIterator[DecisionView]:
    """Yield a view of all features that follows the log while the block runs."""
    view = DecisionView(connection, FeatureLog(connection, ""))
    async with view:
        async with _read_timeout():
            await through_stalls(view.catch_up)
        yield view


def _has_key_approvals(feature: Feature) -> bool:
    trigger = feature.active_trigger
    return trigger is not None and any(given.key_id is not None for given in trigger.current_run.approvals)


async def _newest(connection: Connection, entry: FeatureEntry) -> LoggedEvent | None:
    """Return the event of an entry; the previous one if the newest message is not a valid event."""
    try:
        return entry.logged.logged
    except Rejected:
        return (await FeatureLog(connection, "").newest_tail(entry.key)).logged


async def _rules_streams(connection: Connection) -> RulesStreams:
    try:
        return await read_rules_streams(connection.replies)
    except (NatsError, TimeoutError):
        raise Unavailable(NO_STREAMS) from None


async def _read(
    connection: Connection, stream: str, subject: str, on_record: Callable[[Record], None]
) -> None:
    async with Follower(connection, stream, [subject], on_record) as follower, _read_timeout():
        await through_stalls(lambda: follower.catch_up(READ_TIMEOUT_SECONDS))


@asynccontextmanager
async def _read_timeout() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            yield
    except TimeoutError:
        raise Unavailable(NO_STREAMS) from None
