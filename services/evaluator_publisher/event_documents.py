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

#: In the JSON of a document that is not of any epoch yet; only kind and name come before it.
_NO_EPOCH = b'"epoch":0,'
#: About the bytes of what is chosen for one kind of regions, without the document.
CHOSEN_BYTES = 1_000


class ProjectedRules(NamedTuple):
    """What regions of one kind receive; `data` is None if they receive nothing."""

    checksum: str
    data: bytes | None


class ChosenDocument:
    """The document for regions of one kind, and why it is not the newest one."""

    def __init__(self, document: RuleDocument | None, error: str | None) -> None:
        self.error = error
        #: What is published instead of the newest version, if that is not.
        self.substitute = document if error else None
        self.references = document_references(document) if document else ()
        self._checksum = NOTHING if document is None else checksum(document)
        encoded = b"" if document is None else document.to_json()
        #: An epoch comes between them: that of each stream is another.
        self._begin, _, self._end = encoded.partition(_NO_EPOCH)

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return CHOSEN_BYTES + len(self._begin) + len(self._end)

    def rules(self, epoch: int) -> ProjectedRules:
        """Return what regions receive in an epoch."""
        if not self._begin:
            return ProjectedRules(self._checksum, None)
        return ProjectedRules(self._checksum, b'%b"epoch":%d,%b' % (self._begin, epoch, self._end))


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
        #: About how many bytes all of this takes.
        self.size = CHOSEN_BYTES
        #: Whether something that was chosen is not the newest version.
        self.have_errors = False

    @property
    def all(self) -> Iterable[ChosenDocument]:
        """What was chosen for all kinds of regions that were asked for."""
        return self._chosen.values()

    def of(self, region: Region) -> ChosenDocument:
        """Return what a region receives."""
        kind = (region.environment, *(repr(region.attributes.get(field)) for field in self._fields))
        chosen = self._chosen.get(kind)
        if chosen is None:
            chosen = self._chosen[kind] = self._choose(region)
            self.size += chosen.size
            self.have_errors |= chosen.error is not None
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
