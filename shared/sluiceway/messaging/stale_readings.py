"""What has changed since somebody read a document: the refusal of an edit made from that reading."""

from nats.js import JetStreamContext

from ..contracts.envelope import rfc3339
from ..contracts.identifiers import FeatureKey
from ..contracts.replies import Refusal
from ..contracts.revisions import NOTHING_STORED, RevisionTag, sequence_of
from ..errors import Rejected, Unavailable
from ..pipelines import refusals
from ..pipelines.document_changes import changed_fields, changed_in_feature, named_fields
from .catalogue_store import StoredDocument, read_earlier
from .feature_log import FeatureLog, LoggedEvent


async def explain_stale(
    log: FeatureLog, key: FeatureKey, expected: RevisionTag, newest: LoggedEvent | None
) -> Refusal:
    """Return the refusal of a command that expects another revision than the newest one.

    It names the fields that differ, if the log still has the state that was read.
    """
    if newest is None:
        return refusals.stale(key, expected, NOTHING_STORED)
    event = newest.event
    return refusals.stale(
        key,
        expected,
        newest.revision_tag,
        change=f"by {event.actor_id} at {rfc3339(event.time_ms)} ({event.type})",
        fields=await _changed_since(log, key, expected, newest),
    )


async def explain_stale_document(
    js: JetStreamContext, kind: str, id_: str, expected: RevisionTag, newest: StoredDocument | None
) -> Refusal:
    """Return the refusal of a command to the catalogue that expects another revision than the newest one."""
    subject = f"{kind.replace('_', ' ')} {id_}"
    if newest is None:
        return refusals.stale(subject, expected, NOTHING_STORED)
    read = None if expected == NOTHING_STORED else await read_earlier(js, kind, id_, expected)
    return refusals.stale(
        subject,
        expected,
        newest.revision_tag,
        change=f"by {newest.modifier} at {rfc3339(newest.modified_ms)}",
        fields=named_fields(changed_fields(read, newest.document)) if read else None,
    )


async def _changed_since(
    log: FeatureLog, key: FeatureKey, expected: RevisionTag, newest: LoggedEvent
) -> str | None:
    """Return the fields that have changed since a revision; None if the log does not have it."""
    if expected == NOTHING_STORED:
        return None
    try:
        read = LoggedEvent(sequence_of(expected), await log.at(sequence_of(expected)))
    except (Unavailable, Rejected):  # the history went back, or the sender invented the revision
        return None
    if read.revision_tag != expected or read.event.feature.key != key:
        return None
    return named_fields(changed_in_feature(read.event.feature, newest.event.feature))
