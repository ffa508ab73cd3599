"""What each region receives of a feature's newest event.

If its rules cannot be published, the region does not keep what it holds, which may be a candidate that was
taken back: it receives the newest version that can be published, or the default.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cachetools import LRUCache

from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.stream_records import Position
from sluiceway.pipelines.message_limits import MESSAGE_BYTES_MAX, document_bytes_max
from sluiceway.pipelines.reference_graph import ReferenceGraph
from sluiceway.pipelines.substitutes import LiveVersions

from . import metrics
from .event_documents import EventDocuments, ProjectedRules
from .other_references import EvaluatedReferences, OtherReferences, Substitution

log = logging.getLogger(__name__)

#: Documents are remembered in so many bytes: streams publish the same events, but not at the same moment.
RECENT_BYTES = 16 * 2**20


class Outdated(Exception):
    """The log, the catalogue or RULES has changed since the rules were projected: project them again."""


class _Basis(NamedTuple):
    """What the documents of an event are chosen with, beside the event and the region."""

    graph: ReferenceGraph
    bytes_max: int
    #: If something is published instead of newest versions: how far the log was read, and how often what is
    #: published instead has changed.
    substituted: tuple[Position, int] | None

    def is_same(self, other: "_Basis") -> bool:
        return self.graph is other.graph and self[1:] == other[1:]


class _Recent(NamedTuple):
    """An event that was projected, and its documents."""

    entry: FeatureEntry
    basis: _Basis
    documents: EventDocuments


class PublishableRules:
    """Projects events, and replaces what cannot be published.

    `on_conflict` is called with the features to check again when what one of them can receive changes.
    """

    def __init__(
        self,
        features: FeatureView,
        feature_log: FeatureLog,
        dead_letters: DeadLetters,
        regions: Callable[[], Iterable[Region]],
        message_bytes_max: Callable[[], int] = lambda: MESSAGE_BYTES_MAX,
    ) -> None:
        """`regions`: all of them. `message_bytes_max`: the bytes of a message that the broker takes now."""
        self._message_bytes_max = message_bytes_max
        self._regions = regions
        self._features = features
        self._log = feature_log
        self._dead_letters = dead_letters
        self._substituted: dict[FeatureKey, Substitution] = {}
        #: How often that has changed.
        self._changes = 0
        self._substituting = asyncio.Lock()
        #: All streams publish the same events: each is projected once.
        self._recent: LRUCache[FeatureKey, _Recent] = LRUCache(
            RECENT_BYTES, lambda recent: recent.documents.size
        )
        self._references = features.with_index(EvaluatedReferences())
        self.on_conflict: Callable[[Iterable[FeatureKey]], None] = lambda keys: None
        metrics.SUBSTITUTED_FEATURES.set_function(lambda: len(self._substituted))

    @property
    def substituted(self) -> tuple[FeatureKey, ...]:
        """The features of which some region does not receive the newest version."""
        return tuple(self._substituted)

    def forget(self) -> None:
        """Forget what was replaced: if the log went back, another event may have the same sequence."""
        self._substituted.clear()
        self._changes += 1

    async def of(
        self, entry: FeatureEntry, regions: Iterable[Region], epoch: int
    ) -> dict[str, ProjectedRules]:
        """Return what each of these regions receives, by its name.

        `Rejected` if the event is invalid, `Unavailable` if the log has to be read and cannot be, and
        `Outdated` if a newer event or another state of a region has come meanwhile.
        """
        documents = self._known(entry) or self._documents(entry, None)
        chosen = {region.name: documents.of(region) for region in regions}
        if documents.earlier is None and (documents.have_errors or entry.key in self._substituted):
            documents = await self._with_substitutes(entry)
            chosen = {region.name: documents.of(region) for region in regions}
            if documents.earlier is None and documents.have_errors:  # a region has changed meanwhile
                raise Outdated
        else:
            self._remember(entry, documents)
        return {name: document.rules(epoch) for name, document in chosen.items()}

    def _known(self, entry: FeatureEntry) -> EventDocuments | None:
        """Return what was chosen for other regions, if nothing has changed since that it depends on."""
        known = self._recent.get(entry.key)
        is_valid = known and known.entry is entry and known.basis.is_same(self._basis())
        return known.documents if known and is_valid else None

    def _remember(self, entry: FeatureEntry, documents: EventDocuments) -> EventDocuments:
        """Remember what was chosen by now, unless that is too large."""
        self._recent.pop(entry.key, None)
        if documents.size <= RECENT_BYTES:
            self._recent[entry.key] = _Recent(entry, self._basis(), documents)
        return documents

    def _documents(self, entry: FeatureEntry, earlier: LiveVersions | None) -> EventDocuments:
        others = OtherReferences(self._references, self._substituted, self._features, entry)
        return EventDocuments(entry, others, earlier, document_bytes_max(self._message_bytes_max()))

    def _basis(self) -> _Basis:
        substituted = (self._features.position, self._changes) if self._substituted else None
        return _Basis(self._references.graph, self._message_bytes_max(), substituted)

    async def _with_substitutes(self, entry: FeatureEntry) -> EventDocuments:
        """Look at all regions; note what some of them receive instead of the newest version, if any do."""
        async with self._substituting:  # all streams ask at the same time, and the log is read once
            known = self._known(entry)
            if known and known.earlier is not None:
                return known
            documents = self._in_all_regions(entry, None)
            if not documents.have_errors:
                self._receive_newest(entry.key)
                return self._remember(entry, documents)
            earlier = await self._earlier(entry)
            if self._features.get(entry.key) is not entry:
                raise Outdated
            documents = self._in_all_regions(entry, earlier)
            is_new = self._note(entry, documents, earlier)
            self._remember(entry, documents)
            if is_new:
                await self._report(entry, documents)
            return documents

    def _in_all_regions(self, entry: FeatureEntry, earlier: LiveVersions | None) -> EventDocuments:
        documents = self._documents(entry, earlier)
        for region in self._regions():
            documents.of(region)
        return documents

    async def _earlier(self, entry: FeatureEntry) -> LiveVersions:
        """Return what was live before; the log is read once for each event."""
        known = self._substituted.get(entry.key)
        if known and known.sequence == entry.sequence:
            return known.earlier
        return await self._log.live_versions(entry.key, entry.sequence)

    def _receive_newest(self, key: FeatureKey) -> None:
        if self._substituted.pop(key, None) is not None:
            self._changes += 1
            log.info("%s: every region can receive its newest version again", key)
            self.on_conflict(self.substituted)

    def _note(self, entry: FeatureEntry, documents: EventDocuments, earlier: LiveVersions) -> bool:
        """Take note of what is published instead; return whether this event was not known for it."""
        references = sorted(reference for chosen in documents.all for reference in chosen.references)
        before = self._substituted.get(entry.key)
        now = Substitution(entry.sequence, tuple(references), earlier, self._features.position)
        if before == now:
            return False
        self._substituted[entry.key] = now
        self._changes += 1
        self.on_conflict([*self.substituted, *documents.others.related()])
        return before is None or before.sequence != now.sequence

    async def _report(self, entry: FeatureEntry, documents: EventDocuments) -> None:
        """Say loudly, once for each event, what is not published, and what is published instead."""
        metrics.RULES_REFUSED.inc()
        error, document = next((each.error, each.substitute) for each in documents.all if each.error)
        reason = f"{entry.key} cannot be published: {error}; published instead: {_described(document)}"
        log.error("%s", reason)
        await self._dead_letters.store(
            subjects.feature(entry.key), entry.event.to_json(), reason, "unpublishable"
        )


def _described(document: RuleDocument | None) -> str:
    """Return which version a document holds, in words."""
    if document is None:
        return "nothing"
    named = {**document.specs.feature_gates, **document.specs.dynamic_configs}
    spec = named.get(document.spec_name)
    if spec is None:
        return "nothing"
    return f"version {spec.version}" if spec.enabled else f"version {spec.version} switched off"
