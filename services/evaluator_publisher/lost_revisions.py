"""Revisions of documents in RULES that the log or the catalogue does not hold, when it is read to its end."""

from collections.abc import Mapping
from typing import NamedTuple

from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.stream_view import StreamView


class _Proof(NamedTuple):
    """That the stream ended at `end` after RULES had been read up to `documents`."""

    #: How often RULES had been read from its start: its sequences are others since.
    resets: int
    documents: int
    end: int


class LostRevisions:
    """Reads a stream far enough to tell which revisions are lost. One proof holds for all older documents."""

    def __init__(self, view: StreamView, rules: RuleStore) -> None:
        self._view = view
        self._rules = rules
        self._proof = _Proof(0, 0, 0)

    async def read_past(self, documents: Mapping[int, int]) -> None:
        """Return once the stream is read past the revisions of documents, or known to end before them.

        `documents`: their sequences in RULES, with their revisions. A broker that is behind does not say
        where the stream ends: raises `Unavailable` if no other one answers.
        """
        resets, read = self._rules.follower.resets, self._rules.position.sequence
        proof = self._proof if self._proof.resets == resets else _Proof(resets, 0, 0)
        unproved = [
            revision
            for sequence, revision in documents.items()
            if sequence > proof.documents or revision <= proof.end
        ]
        await self._view.catch_up_past(max(unproved, default=0))
        if any(revision > self._view.follower.position.sequence for revision in unproved):
            self._proof = _Proof(resets, read, self._view.follower.position.sequence)
