"""A region's set while it is read from the start: it replaces the rules as a whole, or not at all.

An empty or wrong broker, or one that was restored and not checked yet, does not make anybody forget: the last
good rules stay until a publisher that has read the log to its end has marked the new set as complete.
"""

import logging

from pydantic import ValidationError

from ..contracts import subjects
from ..contracts.identifiers import FeatureKey
from ..contracts.rule_document import CompleteSet, is_valid_epoch
from ..messaging.stream_records import Record
from .document_set import DocumentSet

log = logging.getLogger(__name__)


class StagedSet:
    """What was read so far."""

    def __init__(self) -> None:
        self.documents = DocumentSet()
        #: Features whose document is invalid: their previous version stays.
        self.invalid: set[FeatureKey] = set()
        self.mark: CompleteSet | None = None

    def add(self, record: Record) -> None:
        """Add a record; raises `ValueError` if it is invalid."""
        if subjects.is_complete_set(record.subject):
            self.mark = parse_mark(record)
            return
        _, key = subjects.parse_rule(record.subject)
        self.invalid.discard(key)
        try:
            self.documents.apply(record)
        except ValueError:
            self.invalid.add(key)
            raise

    def missing(self, *, held: int, epoch: int, sequence: int, end: int) -> str | None:
        """Return why the set may not replace the one that is held; None if it may.

        `held` documents are held, of `epoch`, as of a `sequence` of RULES; `end` is the end of this set.
        """
        if self.mark is None:
            return "no publisher has marked it as complete"
        if held and not (self.mark.log_sequence or self.documents.raw):
            return "its log is empty"
        if (self.mark.epoch, end) < (epoch, sequence):
            return "it is older, and no publisher has checked it since"
        return None


def parse_mark(record: Record) -> CompleteSet | None:
    """Return the mark in a record; None if it was deleted or is invalid."""
    if record.is_deletion:
        return None
    try:
        mark = CompleteSet.model_validate_json(record.data, extra="ignore")
    except ValidationError as error:
        log.warning("%s is not a valid mark: %s", record.subject, error)
        return None
    if not is_valid_epoch(mark.epoch, record.time_ms):
        log.warning(
            "%s is not a valid mark: no publisher can have begun epoch %s", record.subject, mark.epoch
        )
        return None
    return mark
