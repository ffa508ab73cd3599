"""What each region receives of a feature's newest event.

If its rules cannot be published, the region does not keep what it holds, which may be a candidate that was
taken back: it receives the newest version that can be published, or the default.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.rule_table import NOTHING
from sluiceway.pipelines.message_limits import MESSAGE_BYTES_MAX, document_bytes_max
from sluiceway.pipelines.projection import checksum, project, used_attributes
from sluiceway.pipelines.publish_checks import document_errors, document_references, evaluation_errors
from sluiceway.pipelines.reference_graph import References
from sluiceway.pipelines.segments import Location
from sluiceway.pipelines.substitutes import LiveVersions, substitutes

from . import metrics
from .other_references import EvaluatedReferences, OtherReferences, Substitution

log = logging.getLogger(__name__)


class ProjectedRules(NamedTuple):
    """What regions of one kind receive; `data` is None if they receive nothing."""

    checksum: str
    data: bytes | None


class _Choice(NamedTuple):
    """The document for regions of one kind, and why it is not the newest one."""

    document: RuleDocument | None
    error: str | None


class PublishableRules:
    """Projects events, and replaces what cannot be published.

    `on_conflict` is called with the features to check again when what one of them can receive changes.
    """

    def __init__(
        self,
        features: FeatureView,
        feature_log: FeatureLog,
        dead_letters: DeadLetters,
        message_bytes_max: Callable[[], int] = lambda: MESSAGE_BYTES_MAX,
    ) -> None:
        """`message_bytes_max`: the bytes of a message that the broker takes now."""
        self._message_bytes_max = message_bytes_max
        self._features = features
        self._log = feature_log
        self._dead_letters = dead_letters
        self._substituted: dict[FeatureKey, Substitution] = {}
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

    async def of(
        self, entry: FeatureEntry, regions: Sequence[Region], epoch: int, *, are_all: bool
    ) -> dict[str, ProjectedRules]:
        """Return what each of these regions receives, by its name. `are_all`: there are no others.

        `Rejected` if the event is invalid, and `Unavailable` if the log has to be read and cannot be.
        """
        others = OtherReferences(self._references, self._substituted, self._features, entry)
        bytes_max = document_bytes_max(self._message_bytes_max())
        choices = _choose(entry, regions, others, None, bytes_max)
        if any(choice.error for choice in choices.values()):
            earlier = await self._earlier(entry)
            choices = _choose(entry, regions, others, earlier, bytes_max)
            await self._record(entry, choices.values(), others, earlier)
        elif are_all and self._substituted.pop(entry.key, None) is not None:
            log.info("%s: every region can receive its newest version again", entry.key)
            self.on_conflict(self.substituted)
        documents = {id(choice): choice.document for choice in choices.values()}
        rules = {number: _rules(document, epoch) for number, document in documents.items()}
        return {name: rules[id(choice)] for name, choice in choices.items()}

    async def _earlier(self, entry: FeatureEntry) -> LiveVersions:
        """Return what was live before; the log is read once for each event."""
        known = self._substituted.get(entry.key)
        if known and known.sequence == entry.sequence:
            return known.earlier
        return await self._log.live_versions(entry.key, entry.sequence)

    async def _record(
        self,
        entry: FeatureEntry,
        choices: Collection[_Choice],
        others: OtherReferences,
        earlier: LiveVersions,
    ) -> None:
        """Say loudly, once for each event, what is not published, and what is published instead."""
        documents = {id(each.document): each.document for each in choices if each.document}
        references = sorted(
            reference for each in documents.values() for reference in document_references(each)
        )
        before = self._substituted.get(entry.key)
        now = Substitution(entry.sequence, tuple(references), earlier, self._features.position)
        if before == now:
            return
        self._substituted[entry.key] = now
        self.on_conflict([*self.substituted, *others.related()])
        if before and before.sequence == now.sequence:
            return
        metrics.RULES_REFUSED.inc()
        error, document = next((each.error, each.document) for each in choices if each.error)
        reason = f"{entry.key} cannot be published: {error}; published instead: {_described(document)}"
        log.error("%s", reason)
        await self._dead_letters.store(
            subjects.feature(entry.key), entry.event.to_json(), reason, "unpublishable"
        )


def _choose(
    entry: FeatureEntry,
    regions: Iterable[Region],
    others: OtherReferences,
    earlier: LiveVersions | None,
    bytes_max: int,
) -> dict[str, _Choice]:
    """Return what each region receives, by its name; nothing is replaced before `earlier` is known."""
    event = entry.event
    fields = sorted(used_attributes(event.feature).union(*_attributes(event.feature, earlier)))
    chosen: dict[tuple[str, ...], _Choice] = {}
    by_region: dict[str, _Choice] = {}
    for region in regions:
        # Regions of one kind receive the same.
        kind = (region.environment, *(repr(region.attributes.get(field)) for field in fields))
        if kind not in chosen:
            chosen[kind] = _choice(entry, region, others, earlier, bytes_max)
        by_region[region.name] = chosen[kind]
    return by_region


def _attributes(feature: Feature, earlier: LiveVersions | None) -> Iterator[frozenset[str]]:
    for spec in earlier.specs if earlier else ():
        yield used_attributes(feature.changed(base=spec))


def _choice(
    entry: FeatureEntry,
    region: Region,
    others: OtherReferences,
    earlier: LiveVersions | None,
    bytes_max: int,
) -> _Choice:
    document = project(entry.event, entry.sequence, Location.of(region))
    errors = _errors(document, lambda: others.of_newest, bytes_max)
    if not errors:
        return _Choice(document, None)
    error = f"region {region.name}: {'; '.join(errors)}"
    substitute = None if earlier is None else _substitute(entry, region, others, earlier, bytes_max)
    return _Choice(substitute, error)


def _errors(document: RuleDocument | None, others: Callable[[], References], bytes_max: int) -> list[str]:
    """Return why a region must not receive a document."""
    if document is None:
        return []
    errors = document_errors(document, bytes_max)
    return [*errors, *evaluation_errors(document, others())] if document_references(document) else errors


def _substitute(
    entry: FeatureEntry, region: Region, others: OtherReferences, earlier: LiveVersions, bytes_max: int
) -> RuleDocument | None:
    """Return the best document that can be published instead; None if the region receives nothing."""
    for feature in substitutes(entry.event.feature, earlier):
        event = entry.event.model_copy(update={"feature": feature})
        document = project(event, entry.sequence, Location.of(region))
        if not _errors(document, lambda: others.of_substitute, bytes_max):
            return document
    return None


def _rules(document: RuleDocument | None, epoch: int) -> ProjectedRules:
    if document is None:
        return ProjectedRules(NOTHING, None)
    return ProjectedRules(checksum(document), document.model_copy(update={"epoch": epoch}).to_json())


def _described(document: RuleDocument | None) -> str:
    """Return which version a document holds, in words."""
    if document is None:
        return "nothing"
    named = {**document.specs.feature_gates, **document.specs.dynamic_configs}
    spec = named.get(document.spec_name)
    if spec is None:
        return "nothing"
    return f"version {spec.version}" if spec.enabled else f"version {spec.version} switched off"
