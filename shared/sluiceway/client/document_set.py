"""The rule documents of a region: compiled for evaluation, each in its newest version."""

import logging
from typing import NamedTuple

from ..clock import now_ms
from ..contracts import envelope, subjects
from ..contracts.applied_reports import AppliedChange
from ..contracts.identifiers import FeatureKey, TriggerId
from ..contracts.rule_document import RuleDocument, is_valid_epoch
from ..errors import error_text
from ..evaluation.compiled_conditions import ProcessContext
from ..evaluation.rule_set import RuleSet
from ..messaging.stream_records import Record

log = logging.getLogger(__name__)


class DocumentVersion(NamedTuple):
    """The order of a feature's documents, also if the log went back; see `RuleDocument.epoch`."""

    epoch: int
    revision: int


UNKNOWN = DocumentVersion(0, 0)


class DocumentSet:
    """Documents by feature, and the rules that they make."""

    def __init__(self) -> None:
        self.rules = RuleSet(ProcessContext(clock=now_ms))
        self.rules.on_failure = _log_failure
        #: Each document as it was published.
        self.raw: dict[FeatureKey, bytes] = {}
        self.versions: dict[FeatureKey, DocumentVersion] = {}
        #: The trigger whose spec a document holds, where it holds one.
        self.triggers: dict[FeatureKey, TriggerId] = {}

    def apply(self, record: Record) -> AppliedChange | None:
        """Apply a record of RULES; return the change, or None if a newer version is applied.

        Raises `ValueError` (`ValidationError` is one) if the record is invalid.
        """
        _, key = subjects.parse_rule(record.subject)
        document = None if record.is_deletion else _parse_record(record, key)
        version = _version(document, record)
        if not is_valid_epoch(version.epoch, record.time_ms):
            raise ValueError(f"invalid epoch {version.epoch}: no publisher can have begun it")
        if version < self.versions.get(key, UNKNOWN):
            log.warning("%s: ignoring %s, which is older than the applied version", key, version)
            return None
        if document:
            self.set(document, record.data)
        else:
            self.remove(key)
        event_ms = int(record.headers.get(envelope.EVENT_TIME, record.time_ms))
        return AppliedChange(
            kind=key.kind,
            name=key.name,
            revision=version.revision,
            after_ms=max(0, now_ms() - event_ms),
            present=document is not None,
        )

    def change(self, key: FeatureKey) -> AppliedChange:
        """Return the change that led to what is held of a feature now."""
        data = self.raw.get(key)
        document = parse_document(data) if data else None
        return AppliedChange(
            kind=key.kind,
            name=key.name,
            revision=document.revision if document else 0,
            after_ms=max(0, now_ms() - document.event_time_ms) if document else 0,
            present=document is not None,
        )

    def set(self, document: RuleDocument, data: bytes) -> None:
        """Replace a feature's document, whatever its version."""
        key = document.key
        self.rules.apply(document, data)
        self.versions[key] = DocumentVersion(document.epoch, document.revision)
        self.raw[key] = data
        if document.trigger:
            self.triggers[key] = document.trigger
        else:
            self.triggers.pop(key, None)

    def remove(self, key: FeatureKey) -> None:
        """Remove a feature's document."""
        self.rules.remove(key)
        self.versions.pop(key, None)
        self.raw.pop(key, None)
        self.triggers.pop(key, None)

    def become(self, other: "DocumentSet") -> None:
        """Replace everything by what another set holds. It must not be used afterwards."""
        self.rules.become(other.rules)
        self.raw, self.versions, self.triggers = other.raw, other.versions, other.triggers


def parse_document(data: bytes) -> RuleDocument:
    """Return the document; raises `ValidationError` if it is invalid."""
    return RuleDocument.model_validate_json(data, extra="ignore")


def _parse_record(record: Record, key: FeatureKey) -> RuleDocument:
    document = parse_document(record.data)
    if document.key != key:
        raise ValueError(f"the document is about {document.key}, its subject about {key}")
    return document


def _version(document: RuleDocument | None, record: Record) -> DocumentVersion:
    if document:
        return DocumentVersion(document.epoch, document.revision)
    headers = record.headers
    return DocumentVersion(int(headers.get(envelope.EPOCH, 0)), int(headers.get(envelope.REVISION, 0)))


def _log_failure(name: str, error: Exception) -> None:
    log.error("%s cannot be evaluated for a user: %s", name, error_text(error))
