"""The rules of one region in this process: evaluated, applied record by record, kept on disk."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import ValidationError

from ..clock import now_ms
from ..contracts import envelope, subjects
from ..contracts.applied_reports import AppliedChange
from ..contracts.identifiers import FeatureKey
from ..contracts.rule_document import RuleDocument
from ..errors import error_text
from ..evaluation.compiled_conditions import ProcessContext
from ..evaluation.results import Config, Evaluation
from ..evaluation.rule_set import RuleSet
from ..evaluation.users import AnyUser
from ..messaging.stream_follower import START, Position, Record
from .rule_cache import RuleCache

log = logging.getLogger(__name__)


class RegionRules:
    """The rules of one region, with a copy in `cache_dir`.

    They can be evaluated immediately, with the last good rules from disk; a `RegionClient` or a
    `Transport` keeps them current.
    """

    def __init__(self, region: str, cache_dir: Path | None = None) -> None:
        self.region = region
        #: Called with each change that arrives live.
        self.on_applied: Callable[[AppliedChange], None] = lambda change: None
        #: Called after each change, live or not.
        self.on_change: Callable[[], None] = lambda: None
        #: Called with the subject and data of an invalid document, and the reason.
        self.on_rejected: Callable[[str, bytes, str], None] = lambda subject, data, reason: None
        self._rules = RuleSet(ProcessContext(clock=now_ms))
        self._rules.on_failure = _log_failure
        # The methods of the rules themselves: a check makes no further call.
        #: Returns whether a user passes a gate; False if the gate is unknown.
        self.check_gate: Callable[[AnyUser, str], bool] = self._rules.check_gate
        #: Returns a user's value of a dynamic config; empty if the config is unknown.
        self.get_config: Callable[[AnyUser, str], Config] = self._rules.get_config
        #: Return a user's value of a gate or config, with the rule that decided it.
        self.gate: Callable[[AnyUser, str], Evaluation] = self._rules.gate
        self.config: Callable[[AnyUser, str], Evaluation] = self._rules.config
        self._revisions: dict[FeatureKey, int] = {}
        self._raw: dict[FeatureKey, bytes] = {}
        self._cache_path = cache_dir / f"{region}.rules" if cache_dir else None
        self._cache = RuleCache(self._cache_path) if self._cache_path else None
        self._position = START
        if self._cache:
            self._load(self._cache)

    def revision(self, key: FeatureKey) -> int | None:
        """Return the sequence in FEATURES that the rules of a feature come from; None without rules."""
        return self._revisions.get(key)

    def raw_documents(self) -> dict[FeatureKey, bytes]:
        """Return the document of every feature as it was published."""
        return dict(self._raw)

    def document(self, key: FeatureKey) -> RuleDocument | None:
        """Return the document of a feature; None if the region has none."""
        data = self._raw.get(key)
        return _parse(data) if data else None

    @property
    def position(self) -> Position:
        """How far RULES is applied."""
        return self._position

    def __len__(self) -> int:
        return len(self._rules)

    def apply(self, record: Record, created: str, *, is_live: bool) -> AppliedChange | None:
        """Apply one record of RULES; return the change, or None if the record is invalid or outdated.

        `created` is the creation time of the stream.
        """
        try:
            _, key = subjects.parse_rule(record.subject)
            document = None if record.is_deletion else _parse_record(record, key)
        except (ValueError, ValidationError) as error:
            log.error("%s: invalid rules, keeping the previous version: %s", record.subject, error)
            self.on_rejected(record.subject, record.data, str(error))
            return None
        change = self._apply(key, document, record)
        if change is None:
            return None
        self._position = Position(created, record.sequence)
        if self._cache:
            self._cache.put(record.subject, record.data if document else None, self._position)
        self.on_change()
        if is_live:
            self.on_applied(change)
        return change

    def replace(self, raw_documents: Iterable[bytes], position: Position) -> None:
        """Replace all documents by these."""
        documents = [(_parse(data), data) for data in raw_documents]
        for key in self._raw.keys() - {document.key for document, _ in documents}:
            self._remove(key)
            if self._cache:
                self._cache.put(subjects.rule(self.region, key), None, position)
        for document, data in documents:
            if self._raw.get(document.key) != data:
                self._set(document, data)
                if self._cache:
                    self._cache.put(subjects.rule(self.region, document.key), data, position)
        self._position = position
        self.on_change()

    def detach_cache(self) -> None:
        """Leave the file to the process that this one was forked from."""
        self._cache = self._cache_path = None

    def reopen_cache(self) -> None:
        """Write to the file again after `close`."""
        if self._cache_path:
            self._cache = RuleCache(self._cache_path)

    def reset(self) -> None:
        """Remove everything: the stream was recreated, and only what it holds now counts."""
        for key in tuple(self._revisions):
            self._rules.remove(key)
        self._revisions.clear()
        self._raw.clear()
        self._position = START
        if self._cache:
            self._cache.clear()

    def close(self) -> None:
        """Close the file; evaluation goes on."""
        if self._cache:
            self._cache.close()

    def _apply(self, key: FeatureKey, document: RuleDocument | None, record: Record) -> AppliedChange | None:
        revision = _revision(document, record)
        if revision < self._revisions.get(key, 0):
            log.warning("%s: ignoring revision %s, which is older than the applied one", key, revision)
            return None
        if document:
            self._set(document, record.data)
        else:
            self._remove(key)
        event_ms = int(record.headers.get(envelope.EVENT_TIME, record.time_ms))
        return AppliedChange(
            kind=key.kind,
            name=key.name,
            revision=revision,
            after_ms=max(0, now_ms() - event_ms),
            present=document is not None,
        )

    def _set(self, document: RuleDocument, data: bytes) -> None:
        self._rules.apply(document, data)
        self._revisions[document.key] = document.revision
        self._raw[document.key] = data

    def _remove(self, key: FeatureKey) -> None:
        self._rules.remove(key)
        self._revisions.pop(key, None)
        self._raw.pop(key, None)

    def _load(self, cache: RuleCache) -> None:
        for _, data in cache.documents():
            self._set(_parse(data), data)
        self._position = cache.position()


def _log_failure(name: str, error: Exception) -> None:
    log.error("%s cannot be evaluated for a user: %s", name, error_text(error))


def _parse(data: bytes) -> RuleDocument:
    return RuleDocument.model_validate_json(data, extra="ignore")


def _parse_record(record: Record, key: FeatureKey) -> RuleDocument:
    document = _parse(record.data)
    if document.key != key:
        raise ValueError(f"the document is about {document.key}, its subject about {key}")
    return document


def _revision(document: RuleDocument | None, record: Record) -> int:
    return document.revision if document else int(record.headers.get(envelope.REVISION, 0))
