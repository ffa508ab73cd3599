"""The rules of one region in this process: evaluated, applied record by record, kept on disk."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from ..contracts import subjects
from ..contracts.applied_reports import CHANGES_MAX, AppliedChange
from ..contracts.identifiers import FeatureKey, FeatureKind, TriggerId
from ..contracts.rule_document import CompleteSet
from ..evaluation.results import Config, Evaluation
from ..evaluation.users import AnyUser
from ..messaging.stream_records import START, Position, Record
from .document_set import DocumentSet, parse_document
from .rule_cache import Place, RuleCache
from .staged_set import StagedSet

log = logging.getLogger(__name__)


class _Key(msgspec.Struct):
    """The fields of a document that name its feature."""

    kind: str
    name: str


class RegionRules:
    """The rules of one region, with a copy in `cache_dir`.

    They can be evaluated immediately, with the last good rules from disk; a `RegionClient` or a
    `Transport` keeps them current. The disk is optional: without it, only a start without a broker fails.
    """

    def __init__(self, region: str, cache_dir: Path | str | None = None) -> None:
        self.region = region
        #: Called with each change that arrives live.
        self.on_applied: Callable[[AppliedChange], None] = lambda change: None
        #: Called after each change, live or not.
        self.on_change: Callable[[], None] = lambda: None
        #: Called with the subject and data of an invalid document, and the reason.
        self.on_rejected: Callable[[str, bytes, str], None] = lambda subject, data, reason: None
        self._documents = DocumentSet()
        rules = self._documents.rules
        # The methods of the rules themselves: a check makes no further call.
        #: Returns whether a user passes a gate; False if the gate is unknown.
        self.check_gate: Callable[[AnyUser, str], bool] = rules.check_gate
        #: Returns a user's value of a dynamic config; empty if the config is unknown.
        self.get_config: Callable[[AnyUser, str], Config] = rules.get_config
        #: Return a user's value of a gate or config, with the rule that decided it.
        self.gate: Callable[[AnyUser, str], Evaluation] = rules.gate
        self.config: Callable[[AnyUser, str], Evaluation] = rules.config
        self._cache_path = Path(cache_dir) / f"{region}.rules" if cache_dir else None
        self._cache = RuleCache(self._cache_path) if self._cache_path else None
        #: How far RULES is applied.
        self.position = START
        #: When the broker stored what is applied. It never goes back, not even if the broker's clock does.
        self.time_ms = 0
        #: The epoch of the set: the greatest of its marks.
        self.epoch = 0
        #: Whether the rules are a whole set; before the first one, evaluations say `NOT_READY`.
        self.is_whole = False
        rules.wait()
        if self._cache:
            self._load(self._cache)

    def revision(self, key: FeatureKey) -> int | None:
        """Return the sequence in FEATURES that the rules of a feature come from; None without rules."""
        version = self._documents.versions.get(key)
        return version.revision if version else None

    def raw_documents(self) -> dict[FeatureKey, bytes]:
        """Return the document of every feature as it was published."""
        return dict(self._documents.raw)

    def trigger(self, key: FeatureKey) -> TriggerId | None:
        """Return the trigger whose spec the region has of a feature; None without one. It costs nothing."""
        return self._documents.triggers.get(key)

    def __len__(self) -> int:
        return len(self._documents.raw)

    def apply(self, record: Record, created: str, *, is_live: bool) -> AppliedChange | None:
        """Apply one record of RULES; return the change, or None if the record is invalid or outdated.

        `created` is the creation time of the stream.
        """
        try:
            change = self._documents.apply(record)
        except ValueError as error:
            self.reject(record, error)
            return None
        if change is None:
            return None
        self._move(Position(created, record.sequence, record.time_ms))
        self.on_change()
        if is_live:
            self.on_applied(change)
        self._store({record.subject: None if record.is_deletion else record.data})
        return change

    def renew(self, mark: CompleteSet, position: Position) -> None:
        """Note that a publisher has checked the whole set again."""
        self._move(position)
        self.epoch = max(self.epoch, mark.epoch)
        self.on_change()
        self._store({})

    def reject(self, record: Record, error: ValueError) -> None:
        """Report an invalid record; the previous version stays."""
        log.error("%s: invalid rules, keeping the previous version: %s", record.subject, error)
        self.on_rejected(record.subject, record.data, str(error))

    def take_over(
        self, staged: StagedSet, mark: CompleteSet, position: Position
    ) -> tuple[AppliedChange, ...]:
        """Replace everything by a set that was read as a whole; return what it changes in another one.

        The staged set must not be used afterwards.
        """
        was_whole = self.is_whole
        for key in staged.invalid & self._documents.raw.keys():
            data = self._documents.raw[key]
            staged.documents.set(parse_document(data), data)
        before = self._documents.raw
        self._documents.become(staged.documents)
        changed = self._replaced(before, position, mark.epoch)
        if not was_whole or len(changed) > CHANGES_MAX:
            return ()
        changes = tuple(map(self._documents.change, sorted(changed)))
        for change in changes:
            self.on_applied(change)
        return changes

    def replace(self, raw_documents: Iterable[bytes], position: Position, epoch: int) -> None:
        """Replace all documents by these."""
        before, documents = dict(self._documents.raw), {_key(data): data for data in raw_documents}
        changed = {key: data for key, data in documents.items() if before.get(key) != data}
        parsed = [(parse_document(data), data) for data in changed.values()]
        for key in before.keys() - documents.keys():
            self._documents.remove(key)
        for document, data in parsed:
            self._documents.set(document, data)
        self._replaced(before, position, epoch)

    def detach_cache(self) -> None:
        """Leave the file to the process that this one was forked from."""
        self._cache = self._cache_path = None

    def reopen_cache(self) -> None:
        """Write to the file again after `close`."""
        if self._cache_path:
            self._cache = RuleCache(self._cache_path)

    def close(self) -> None:
        """Close the file; evaluation goes on."""
        if self._cache:
            self._cache.close()

    def _replaced(
        self, before: Mapping[FeatureKey, bytes], position: Position, epoch: int
    ) -> set[FeatureKey]:
        """Announce and store that everything was replaced; return the features that differ."""
        self._become_whole(position, epoch)
        self.on_change()
        after = self._documents.raw
        changed = {key for key, _ in before.items() ^ after.items()}
        self._store({subjects.rule(self.region, key): after.get(key) for key in changed})
        return changed

    def _move(self, position: Position) -> None:
        self.position, self.time_ms = position, max(self.time_ms, position.time_ms)

    def _become_whole(self, position: Position, epoch: int) -> None:
        self._move(position)
        self.epoch, self.is_whole = epoch, True
        self._documents.rules.ready()

    def retry_store(self) -> None:
        """Write the copy on disk again if an earlier write failed; to be called now and then."""
        if self._cache:
            self._cache.retry(Place(self.position, self.epoch), self._by_subject)

    def _store(self, changes: Mapping[str, bytes | None]) -> None:
        if self._cache:
            self._cache.store(changes, Place(self.position, self.epoch), self._by_subject)

    def _by_subject(self) -> dict[str, bytes]:
        return {subjects.rule(self.region, key): data for key, data in self._documents.raw.items()}

    def _load(self, cache: RuleCache) -> None:
        loaded = cache.load()
        if loaded is None:
            return
        place, documents = loaded
        try:
            parsed = [(parse_document(data), data) for data in documents.values()]
        except ValueError as error:
            cache.discard(error)
            return
        for document, data in parsed:
            self._documents.set(document, data)
        self._become_whole(*place)


def _key(data: bytes) -> FeatureKey:
    key = msgspec.json.decode(data, type=_Key)
    return FeatureKey(FeatureKind(key.kind), key.name)
