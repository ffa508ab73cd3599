"""Finds the releases that an alert is about in the views as they are; a second look finds what they lack."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sluiceway.clock import Clock
from sluiceway.contracts.alerts import Alert, AlertOutcome
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.identifiers import FeatureKey, TriggerId
from sluiceway.errors import Rejected
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.stream_records import START
from sluiceway.pipelines.alert_matches import REGION, MatchedTrigger, match_alert, matching_regions
from sluiceway.pipelines.alert_scopes import is_in_scope, unlimited
from sluiceway.pipelines.decision import Catalogue
from sluiceway.repeated_logs import RepeatedLogs

from .alert_commands import ReceivedAlert
from .watched_releases import WatchedReleases

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)


class FoundRelease(NamedTuple):
    """What an alert means for the release of a feature, by the event at `sequence`."""

    sequence: int
    outcome: AlertOutcome
    #: The release, if the alert is about it.
    trigger: TriggerId | None = None


class MatchedRelease(NamedTuple):
    """A release that an alert takes back, pauses, or tells somebody about."""

    key: FeatureKey
    matched: MatchedTrigger


class Look(NamedTuple):
    """A look at the releases that an alert may concern: `found` fills while they are matched."""

    received: ReceivedAlert
    candidates: list[FeatureKey]
    catalogue: Catalogue
    found: dict[FeatureKey, FoundRelease]
    #: Candidates whose newest event turned out invalid: the one before it counts, once it is read.
    invalid: set[FeatureKey]

    def known(self, key: FeatureKey, sequence: int, catalogue: Catalogue) -> FoundRelease | None:
        """Return what was found, if the feature has had no event since, and the catalogue is the same."""
        found = self.found.get(key) if catalogue is self.catalogue else None
        return found if found and found.sequence == sequence else None


class AlertMatcher:
    """Matches alerts with the releases that are out, and with what their sources may take back."""

    def __init__(
        self,
        features: FeatureView,
        catalogue: CatalogueView,
        watched: WatchedReleases,
        clock: Clock,
        *,
        requires_sources: bool = False,
    ) -> None:
        """`requires_sources`: a source without a document may take nothing back."""
        self._features = features
        self._catalogue_view = catalogue
        self._watched = watched
        self._clock = clock
        self._requires_sources = requires_sources
        self._catalogue, self._position = Catalogue(), START

    @property
    def is_current(self) -> bool:
        """Whether the views hold everything, as far as a broker that is still heard has said."""
        return self._features.is_current and self._catalogue_view.is_current

    async def catch_up(self) -> None:
        """Return once the views hold everything stored before this call; raise `Unavailable` otherwise."""
        await asyncio.gather(self._features.catch_up(), self._catalogue_view.catch_up())

    async def read_scopes(self) -> None:
        """Return once the scopes of sources that are stored before this call count in each look.

        `Unavailable` if they cannot be read. Nothing is read while no source has a scope, or needs one.
        """
        if self._requires_sources or self._known_catalogue().alert_sources:
            await self._catalogue_view.catch_up()

    def look(self, received: ReceivedAlert) -> Look:
        """Return a look at the releases as they are in the views, with nothing found yet."""
        return Look(received, self._watched.concerned_by(received.alert), self._known_catalogue(), {}, set())

    def _known_catalogue(self) -> Catalogue:
        position = self._catalogue_view.follower.position
        if position != self._position:
            self._catalogue, self._position = self._catalogue_view.catalogue(), position
        return self._catalogue

    def matches(self, look: Look, before: Look | None = None) -> Iterator[MatchedRelease | None]:
        """Yield each release to act on, and None after any other: a caller can let others go on then.

        `before`: an earlier look, which counts for everything that has not changed since.
        """
        regions = _named_regions(look.received.alert, look.catalogue)
        for key in look.candidates:
            entry = self._features.get(key)
            if entry is None:
                continue
            if before and (known := before.known(key, entry.sequence, look.catalogue)):
                look.found[key] = known
                continue
            matched = self._match(entry, look, regions)
            outcome = self._outcome(matched, look, regions)
            look.found[key] = FoundRelease(entry.sequence, outcome, matched.trigger.id if matched else None)
            is_match = outcome is AlertOutcome.MATCHED
            yield MatchedRelease(key, matched) if matched and is_match else None

    def _match(self, entry: FeatureEntry, look: Look, regions: Mapping[str, Region]) -> MatchedTrigger | None:
        try:
            received, feature = look.received, entry.event.feature
            return match_alert(received.alert, feature, regions, self._clock(), received.time_ms)
        except Rejected as error:  # one invalid event must not keep the alert from the others
            look.invalid.add(entry.key)
            repeated.error(
                entry.key, "%s: its newest event is invalid, the one before it counts: %s", entry.key, error
            )
            return None

    def _outcome(
        self, matched: MatchedTrigger | None, look: Look, regions: Mapping[str, Region]
    ) -> AlertOutcome:
        if matched is None:
            return AlertOutcome.UNMATCHED
        received, default = look.received, None
        if not self._requires_sources:
            default = unlimited(received.source)
        source = look.catalogue.alert_sources.get(received.source, default)
        if not is_in_scope(source, received.alert.labels, matched.trigger, regions):
            return AlertOutcome.OUT_OF_SCOPE
        return AlertOutcome.BEFORE_RELEASE if matched.is_before else AlertOutcome.MATCHED


def _named_regions(alert: Alert, catalogue: Catalogue) -> Mapping[str, Region]:
    """Return the regions that an alert names: no others make a difference."""
    if REGION not in alert.labels:
        return {}
    return {
        region.name: region for region in matching_regions(alert.labels[REGION], catalogue.regions.values())
    }
