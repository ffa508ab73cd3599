"""The guardrails of active and observed releases, with their queries and newest rounds. Read-only."""

import logging
from typing import NamedTuple

from cachetools import LRUCache

from sluiceway.clock import Clock
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.identifiers import FeatureKey, feature_of
from sluiceway.contracts.measurements import Round
from sluiceway.errors import Rejected
from sluiceway.messaging.catalogue_store import CatalogueView, StoredDocument
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementView
from sluiceway.pipelines.guardrail_queries import GuardrailQuery, guardrail_queries
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, GuardrailKey, active_guardrails, is_due

log = logging.getLogger(__name__)

#: Releases whose guardrails stay parsed, about 20 kB each, and queries that stay built, about 1 kB each.
PARSED_MAX = 2_000
QUERIES_MAX = 20_000
#: Releases that are looked at before the loop has a turn: a body may have to be parsed for each.
LOOKED_AT_MAX = 50


class _Version(NamedTuple):
    resets: int
    sequence: int


class _ParsedGuardrails(NamedTuple):
    """The guardrails of a release by this version of its feature."""

    version: _Version
    guardrails: tuple[ActiveGuardrail, ...]


class _BuiltQueries(NamedTuple):
    """The queries of a guardrail by this version of its feature."""

    version: _Version
    queries: tuple[GuardrailQuery, ...]


class ActiveGuardrails:
    """Looks up guardrails in the views of the log, the catalogue and the measurements."""

    def __init__(
        self, features: FeatureView, catalogue: CatalogueView, measurements: MeasurementView, clock: Clock
    ) -> None:
        self._features = features
        self._catalogue = catalogue
        self._measurements = measurements
        self._clock = clock
        self._regions: tuple[Region, ...] | None = None
        self._of_feature: LRUCache[FeatureKey, _ParsedGuardrails] = LRUCache(PARSED_MAX)
        #: Void if a region changes.
        self._queries: LRUCache[GuardrailKey, _BuiltQueries] = LRUCache(
            QUERIES_MAX, getsizeof=lambda built: max(1, len(built.queries))
        )

    def on_catalogue_change(self, kind: str, id_: str, stored: StoredDocument | None) -> None:
        """Build all queries again after a change of a region."""
        if kind == "region":
            self._regions = None
            self._queries.clear()

    def of_feature(self, key: FeatureKey) -> tuple[ActiveGuardrail, ...]:
        """Return the guardrails of a feature's release; empty if none is active or observed."""
        entry, now_ms = self._features.get(key), self._clock()
        if entry is None or not (entry.is_active or entry.observed_until_ms > now_ms):
            self._of_feature.pop(key, None)
            return ()
        if entry.metric_guardrails == 0:
            return ()
        known, version = self._of_feature.get(key), self._version(entry)
        if known is None or known.version != version:
            known = self._of_feature[key] = _ParsedGuardrails(version, _active_guardrails(entry, now_ms))
        return known.guardrails

    def of_trigger(self, trigger: str) -> tuple[ActiveGuardrail, ...]:
        """Return the guardrails of this release; empty if it is over."""
        return tuple(
            active for active in self.of_feature(feature_of(trigger)) if active.trigger.id == trigger
        )

    def are_known(self, trigger: str) -> bool:
        """Return whether the guardrails of this release can be read in the newest event of its feature."""
        entry = self._features.get(feature_of(trigger))
        if entry is None:
            return False
        if entry.is_active and entry.metric_guardrails == 0:
            return True
        try:
            entry.event  # noqa: B018 (parses)
        except Rejected:
            return False
        return True

    def find(self, key: GuardrailKey, since_ms: int) -> ActiveGuardrail | None:
        """Return the guardrail whose measurements count from `since_ms`; None if it has ended."""
        return next(
            (a for a in self.of_trigger(key.trigger) if a.key == key and a.since_ms == since_ms), None
        )

    def queries(self, active: ActiveGuardrail) -> tuple[GuardrailQuery, ...]:
        """Return the queries of a guardrail, one for each region; empty if its phase covers none."""
        version = self._version(self._features.get(feature_of(active.trigger.id)))
        known = self._queries.get(active.key)
        if known and known.version == version:
            return known.queries
        built = guardrail_queries(active.guardrail, active.trigger, active.phase, self._all_regions())
        if len(built) <= QUERIES_MAX:
            self._queries[active.key] = _BuiltQueries(version, built)
        return built

    def _version(self, entry: FeatureEntry | None) -> _Version:
        """Return what another event of the feature has different; after the log went back, every event."""
        return _Version(self._features.resets, entry.sequence if entry else 0)

    def last_round(self, active: ActiveGuardrail) -> Round | None:
        """Return the newest round of a guardrail, of those that count."""
        stored = self._measurements.get(*active.key)
        return stored.round if stored and stored.round.since_ms == active.since_ms else None

    async def is_due(self, active: ActiveGuardrail) -> bool:
        """Return whether the bake of the guardrail's release is over, by the newest event in the log.

        `RetryLater` if the log cannot be read.
        """
        if not is_due(active.trigger, self._clock()):
            return False
        await self._features.catch_up()
        newest = self.find(active.key, active.since_ms)
        return newest is not None and is_due(newest.trigger, self._clock())

    def forget(self, key: GuardrailKey) -> None:
        """Drop the cached queries of a guardrail that has ended."""
        self._queries.pop(key, None)
        self.forget_if_over(key.trigger)

    def forget_if_over(self, trigger: str) -> None:
        """Drop the rounds of a release that is over."""
        if not self.of_trigger(trigger):
            self._measurements.forget(trigger)

    def _all_regions(self) -> tuple[Region, ...]:
        if self._regions is None:
            documents = [stored.document for stored in self._catalogue.all("region")]
            self._regions = tuple(region for region in documents if isinstance(region, Region))
        return self._regions


def _active_guardrails(entry: FeatureEntry, now_ms: int) -> tuple[ActiveGuardrail, ...]:
    try:
        trigger = entry.event.feature.watched_trigger(now_ms)
    except Rejected as error:
        log.error("%s: its newest event is invalid, so its guardrails are not measured: %s", entry.key, error)
        return ()
    return tuple(active_guardrails(trigger)) if trigger else ()
