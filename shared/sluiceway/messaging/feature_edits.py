"""Changes a feature that others may be changing too: read, change, save, and again if somebody came first."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from ..contracts.commands import Command, IdempotencyKey, SaveFeature
from ..contracts.feature import Feature, FeatureDocument
from ..contracts.identity import Actor, Identity
from ..contracts.replies import Outcome, Reply
from ..contracts.revisions import NOTHING_STORED, RevisionTag
from ..errors import Unavailable
from ..pipelines.document_changes import edit_fits
from ..pipelines.feature_documents import authored_document

#: How often an edit is made on a newer state before its author has to send it again.
ATTEMPTS_MAX = 50


class FeatureReading(NamedTuple):
    """A feature as somebody has read it."""

    feature: Feature | None
    revision: RevisionTag
    #: It is what any replica has, which may be behind; and nobody has looked at it.
    may_be_old: bool = False

    @property
    def is_archived(self) -> bool:
        return self.feature is not None and self.feature.archived


@dataclass(frozen=True, kw_only=True)
class FeatureEdit:
    """A change as a function of the newest document, so that it can be made on a newer one."""

    #: The id of the command, for every attempt: however often it is sent, the edit is applied once.
    id: str
    actor: Actor
    #: Whom the console vouches for; None: the author sends the edit himself.
    identity: Identity | None = None
    change: Callable[[FeatureDocument], FeatureDocument]
    #: What a feature that does not exist is taken for; None: it has to exist.
    new: FeatureDocument | None = None
    reason: str | None = None
    at_once: bool = False
    override_freeze: bool = False
    #: It is meant for an archived feature, and brings it back; any other edit is for a live one.
    is_unarchiving: bool = False
    #: It applies whatever others have changed in the document: switching off has to work.
    is_forced: bool = False

    def was_applied(self, reading: FeatureReading) -> bool:
        """Return whether the edit is sent again, and has been applied."""
        key = IdempotencyKey(self.id, self.actor, self.identity)
        return reading.feature is not None and key.is_among(reading.feature.recent_commands)

    def on(self, reading: FeatureReading) -> SaveFeature:
        """Return the command that makes the edit on a state, and on no other."""
        return SaveFeature(
            id=self.id,
            actor=self.actor,
            identity=self.identity,
            reason=self.reason,
            feature=self.change(self._document(reading)),
            at_once=self.at_once,
            override_freeze=self.override_freeze,
            expected_revision=reading.revision,
        )

    def fits(self, read: FeatureReading, newest: FeatureReading) -> bool:
        """Return whether the edit leaves alone what others have changed since its author's reading."""
        is_lost = newest.feature is None and self.new is None  # the log went back
        if is_lost or read.is_archived != newest.is_archived:
            return False
        document = self._document(newest)
        return self.is_forced or edit_fits(self._document(read), document, self.change(document))

    def _document(self, reading: FeatureReading) -> FeatureDocument:
        document = authored_document(reading.feature) if reading.feature else self.new
        assert document is not None
        return document


async def send_edit(
    send: Callable[[Command], Awaitable[Reply]], edit: FeatureEdit, read: FeatureReading
) -> Reply:
    """Send an edit of what its author has read; return the reply.

    If others have changed the feature since, it is made on the newest state, provided that it fits. Two
    edits of the same field do not fit: the reply is then the refusal, which says what has changed.
    `Unavailable` if the feature keeps changing. If `read` may be old, the first newer state counts as read.
    """
    if edit.was_applied(read):
        return Reply(outcome=Outcome.UNCHANGED, feature=read.feature, revision_tag=read.revision)
    newest = read
    for _ in range(ATTEMPTS_MAX):
        reply = await send(edit.on(newest))
        if not reply.is_stale:
            return reply
        newest = FeatureReading(reply.feature, reply.revision_tag or NOTHING_STORED)
        if read.may_be_old and newest.is_archived == read.is_archived:
            read = newest
        if not edit.fits(read, newest):
            return reply
    raise Unavailable(f"the feature has changed {ATTEMPTS_MAX} times since it was read")
