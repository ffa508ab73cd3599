"""Which state somebody has read: a tag that no other state of the same document has."""

import hashlib
import re
from typing import Annotated

from pydantic import Field

#: `<sequence>-<digest>`, for example `17-3f9a21bc`; or `NOTHING_STORED`.
REVISION_PATTERN = r"^(0|[1-9][0-9]{0,18}-[0-9a-f]{8})$"
RevisionTag = Annotated[str, Field(pattern=REVISION_PATTERN)]
#: The tag of what does not exist.
NOTHING_STORED: RevisionTag = "0"
DIGEST_LENGTH = 8


def revision_tag(sequence: int, *origin: object) -> RevisionTag:
    """Return the tag of a state that is stored at a sequence; `origin` is the command that led to it.

    The origin tells two states apart that a stream held at the same sequence, before and after it was
    restored from an older copy.
    """
    digest = hashlib.sha256("\n".join(map(str, origin)).encode()).hexdigest()
    return f"{sequence}-{digest[:DIGEST_LENGTH]}"


def is_revision_tag(text: str) -> bool:
    """Return whether a text could be the tag of a state."""
    return re.fullmatch(REVISION_PATTERN, text) is not None


def sequence_of(tag: RevisionTag) -> int:
    """Return the sequence of a state; 0 for what does not exist."""
    return int(tag.partition("-")[0])
