"""Read what there is now, by following to the end and leaving."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ..contracts import subjects
from ..contracts.applied_reports import AppliedReport
from ..contracts.feature import Feature
from ..contracts.identifiers import FeatureKey, FeatureKind
from ..contracts.rule_document import RuleDocument
from ..errors import Rejected, Unavailable
from ..messaging.catalogue_store import CatalogueView
from ..messaging.connection import Connection
from ..messaging.feature_log import FeatureLog
from ..messaging.feature_view import FeatureEntry, FeatureView
from ..messaging.stream_follower import Follower, Record
from ..pipelines.catalogue_decisions import Usage
from ..pipelines.decision import Catalogue
from ..pipelines.references import References

READ_SECONDS = 10.0
NOT_SET_UP = "the broker answers, but holds no Sluiceway streams yet; is a scheduler running?"


async def catalogue(connection: Connection) -> Catalogue:
    """Return the environments, regions and pipelines."""
    view = CatalogueView(connection)
    async with view, _in_time():
        await view.caught_up()
        return view.catalogue()


async def features(connection: Connection) -> list[Feature]:
    """Return every feature's state, by name."""
    async with feature_view(connection) as view:
        states = [await _state(connection, entry) for entry in view]
    return sorted(filter(None, states), key=lambda feature: (feature.kind, feature.name))


async def feature(connection: Connection, kind: FeatureKind, name: str) -> Feature | None:
    """Return one feature's state."""
    tail = await FeatureLog(connection, "").tail(FeatureKey(kind, name))
    return tail.logged.event.feature if tail.logged else None


async def usage(connection: Connection) -> Usage:
    """Return which features use which pipelines."""
    async with feature_view(connection) as view:
        return view.usage()


async def references(connection: Connection) -> References:
    """Return what every feature refers to."""
    async with feature_view(connection) as view:
        return view.references()


async def rules(connection: Connection, region: str) -> list[RuleDocument]:
    """Return the rule documents of a region, by name."""
    found: dict[str, RuleDocument] = {}

    def take(record: Record) -> None:
        found.pop(record.subject, None)
        if not record.is_deletion:
            found[record.subject] = RuleDocument.model_validate_json(record.data, extra="ignore")

    await _read(connection, subjects.RULES_STREAM, subjects.rules_of(region), take)
    return sorted(found.values(), key=lambda document: document.key)


async def reports(connection: Connection) -> dict[str, list[AppliedReport]]:
    """Return the newest report of every live instance, by region."""
    newest: dict[str, AppliedReport] = {}

    def take(record: Record) -> None:
        newest[record.subject] = AppliedReport.model_validate_json(record.data, extra="ignore")

    await _read(connection, subjects.APPLIED_STREAM, subjects.APPLIED, take)
    by_region: dict[str, list[AppliedReport]] = defaultdict(list)
    for report in newest.values():
        by_region[report.region].append(report)
    return by_region


async def _state(connection: Connection, entry: FeatureEntry) -> Feature | None:
    """Return the state in an entry; the one before, where somebody published what is no event."""
    try:
        return entry.event.feature
    except Rejected:
        return await feature(connection, *entry.key)


@asynccontextmanager
async def feature_view(connection: Connection) -> AsyncIterator[FeatureView]:
    """Give all features, followed while the block runs."""
    view = FeatureView(connection, FeatureLog(connection, ""))
    async with view:
        async with _in_time():
            await view.caught_up()
        yield view


async def _read(connection: Connection, stream: str, subject: str, take: Callable[[Record], None]) -> None:
    async with Follower(connection, stream, [subject], take) as follower, _in_time():
        await follower.caught_up()


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(READ_SECONDS):
            yield
    except TimeoutError:
        raise Unavailable(NOT_SET_UP) from None
