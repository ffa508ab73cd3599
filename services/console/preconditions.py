"""The headers `If-Match` and `If-None-Match` of a request that changes something.

A tag is the revision that the sender has read, from the header `ETag` of an earlier response. The
scheduler compares it once more when it decides.
"""

from typing import NamedTuple

from fastapi import HTTPException, Request

from sluiceway.contracts.revisions import NOTHING_STORED, RevisionTag, is_revision_tag
from sluiceway.http.etags import EntityTag, TagCondition, tag_condition

IF_MATCH = "The ETag of the revision that you have read. 412 if somebody has changed it since."
IF_NONE_MATCH = "`*`: only create. 412 if it exists."


class Preconditions(NamedTuple):
    """What a sender expects of the newest revision."""

    match: TagCondition | None = None
    none_match: TagCondition | None = None

    @property
    def is_absent(self) -> bool:
        return self.match is None and self.none_match is None

    def hold(self, newest: RevisionTag) -> bool:
        """Return whether the newest revision is an expected one."""
        current = None if newest == NOTHING_STORED else EntityTag(newest)
        is_matched = self.match is None or self.match.matches_strongly(current)
        return is_matched and not (self.none_match and self.none_match.matches_weakly(current))

    @property
    def read_revision(self) -> RevisionTag | None:
        """The revision that the sender has read; None if it names none that could ever have matched."""
        tags = self.match.tags if self.match else ()
        named = [tag.value for tag in tags if not tag.is_weak and is_revision_tag(tag.value)]
        return named[0] if named else None

    def __str__(self) -> str:
        match = f"If-Match: {self.match}" if self.match else ""
        return match or f"If-None-Match: {self.none_match}"


#: Whatever is there.
ANY_REVISION = Preconditions()


def preconditions_of(request: Request) -> Preconditions:
    """Return what a request expects; 400 if a header is not a list of tags."""
    return Preconditions(_condition(request, "if-match"), _condition(request, "if-none-match"))


def _condition(request: Request, header: str) -> TagCondition | None:
    try:
        return tag_condition(request.headers.getlist(header))
    except ValueError as error:
        raise HTTPException(400, f"{header}: {error}") from error


def entity_tag(revision: RevisionTag) -> str:
    """Return a revision as the value of the header `ETag`."""
    return str(EntityTag(revision))
