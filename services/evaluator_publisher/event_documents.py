"""The documents that regions receive of one event: the newest version, or what can be published instead."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.messaging.rule_table import NOTHING
from sluiceway.pipelines.projection import checksum, project, used_attributes
from sluiceway.pipelines.publish_checks import document_errors, document_references, evaluation_errors
from sluiceway.pipelines.reference_graph import References
from sluiceway.pipelines.segments import Location
from sluiceway.pipelines.substitutes import LiveVersions, substitutes

from .other_references import OtherReferences


class ProjectedRules(NamedTuple):
    """What regions of one kind receive; `data` is None if they receive nothing."""

    checksum: str
    data: bytes | None


class ChosenDocument:
    """The document for regions of one kind, and why it is not the newest one."""

    def __init__(self, document: RuleDocument | None, error: str | None) -> None:
        self.document = document
        self.error = error
        self._checksum = NOTHING if document is None else checksum(document)
        #: The newest epoch that was asked for, and what regions receive in it.
        self._encoded: tuple[int, ProjectedRules] | None = None

    def rules(self, epoch: int) -> ProjectedRules:
        """Return what regions receive in an epoch."""
        if self._encoded is None or self._encoded[0] != epoch:
            self._encoded = epoch, self._encode(epoch)
        return self._encoded[1]

    def _encode(self, epoch: int) -> ProjectedRules:
        document = self.document
        data = document.model_copy(update={"epoch": epoch}).to_json() if document else None
        return ProjectedRules(self._checksum, data)


class EventDocuments:
    """Chooses a document once for each kind of region: regions of one kind receive the same."""

    def __init__(
        self, entry: FeatureEntry, others: OtherReferences, earlier: LiveVersions | None, bytes_max: int
    ) -> None:
        """`earlier`: what was live before; nothing is replaced if it is not known."""
        event = entry.event
        self.earlier = earlier
        self.others = others
        self._entry = entry
        self._bytes_max = bytes_max
        self._fields = sorted(used_attributes(event.feature).union(*_attributes(event.feature, earlier)))
        self._chosen: dict[tuple[str, ...], ChosenDocument] = {}

    @property
    def all(self) -> Iterable[ChosenDocument]:
        """What was chosen for all kinds of regions that were asked for."""
        return self._chosen.values()

    @property
    def have_errors(self) -> bool:
        """Whether one of those is not the newest version."""
        return any(chosen.error for chosen in self.all)

    def of(self, region: Region) -> ChosenDocument:
        """Return what a region receives."""
        kind = (region.environment, *(repr(region.attributes.get(field)) for field in self._fields))
        chosen = self._chosen.get(kind)
        if chosen is None:
            chosen = self._chosen[kind] = self._choose(region)
        return chosen

    def _choose(self, region: Region) -> ChosenDocument:
        entry = self._entry
        document = project(entry.event, entry.sequence, Location.of(region))
        errors = _errors(document, lambda: self.others.of_newest, self._bytes_max)
        if not errors:
            return ChosenDocument(document, None)
        error = f"region {region.name}: {'; '.join(errors)}"
        substitute = None if self.earlier is None else self._substitute(region, self.earlier)
        return ChosenDocument(substitute, error)

    def _substitute(self, region: Region, earlier: LiveVersions) -> RuleDocument | None:
        """Return the best document that can be published instead; None if the region receives nothing."""
        entry = self._entry
        for feature in substitutes(entry.event.feature, earlier):
            event = entry.event.model_copy(update={"feature": feature})
            document = project(event, entry.sequence, Location.of(region))
            if not _errors(document, lambda: self.others.of_substitute, self._bytes_max):
                return document
        return None


def _attributes(feature: Feature, earlier: LiveVersions | None) -> Iterator[frozenset[str]]:
    for spec in earlier.specs if earlier else ():
        yield used_attributes(feature.changed(base=spec))


def _errors(document: RuleDocument | None, others: Callable[[], References], bytes_max: int) -> list[str]:
    """Return why a region must not receive a document."""
    if document is None:
        return []
    errors = document_errors(document, bytes_max)
    return [*errors, *evaluation_errors(document, others())] if document_references(document) else errors
