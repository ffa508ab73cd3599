"""Entity tags and the headers that compare them: `ETag`, `If-Match` and `If-None-Match`.

As RFC 9110 says, sections 8.8.3 (tags), 13.1.1 and 13.1.2 (conditions):
https://www.rfc-editor.org/rfc/rfc9110#name-etag
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Tags of one header; a longer list is invalid.
TAGS_MAX = 100
#: Bytes 0x21 and 0x23-0x7E, and what older servers send beyond ASCII. A comma is allowed.
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*|$)+")


@dataclass(frozen=True, slots=True)
class EntityTag:
    """One tag: what stands between the quotes, and whether `W/` stands before them."""

    value: str
    is_weak: bool = False

    def __str__(self) -> str:
        return f'{"W/" if self.is_weak else ""}"{self.value}"'

    def equals_strongly(self, other: "EntityTag") -> bool:
        """Return whether both are strong, with the same value: the same bytes."""
        return not self.is_weak and not other.is_weak and self.value == other.value

    def equals_weakly(self, other: "EntityTag") -> bool:
        """Return whether both have the same value; a proxy that compresses makes a tag weak."""
        return self.value == other.value


@dataclass(frozen=True, slots=True)
class TagCondition:
    """The value of `If-Match` or `If-None-Match`: a list of tags, or `*`, which stands for any."""

    tags: tuple[EntityTag, ...] = ()
    is_any: bool = False

    def __str__(self) -> str:
        return "*" if self.is_any else ", ".join(map(str, self.tags))

    def matches_strongly(self, current: EntityTag | None) -> bool:
        """Return whether the current tag is listed, as `If-Match` compares; None: nothing is there."""
        if current is None:
            return False
        return self.is_any or any(tag.equals_strongly(current) for tag in self.tags)

    def matches_weakly(self, current: EntityTag | None) -> bool:
        """Return whether the current tag is listed, as `If-None-Match` compares; None: nothing is there."""
        if current is None:
            return False
        return self.is_any or any(tag.equals_weakly(current) for tag in self.tags)


def tag_condition(values: Iterable[str]) -> TagCondition | None:
    """Return the condition of a header that may stand in several lines; None without one.

    `ValueError` if it is neither `*` nor a list of tags in quotes.
    """
    lines = list(values)
    if not lines:
        return None
    header = ",".join(lines).strip(" \t")
    return TagCondition(is_any=True) if header == "*" else TagCondition(_tags(header))


def _tags(header: str) -> tuple[EntityTag, ...]:
    """Return the tags of a list, at least one. Empty places between commas are allowed."""
    tags: list[EntityTag] = []
    position = len(header) - len(header.lstrip(" \t,"))
    while position < len(header):
        tag = _TAG.match(header, position)
        separator = _SEPARATOR.match(header, tag.end()) if tag else None
        if tag is None or separator is None or len(tags) == TAGS_MAX:
            raise _invalid(header)
        tags.append(EntityTag(tag[2], is_weak=tag[1] is not None))
        position = separator.end()
    if not tags:
        raise _invalid(header)
    return tuple(tags)


def _invalid(header: str) -> ValueError:
    return ValueError(
        f"invalid list of entity tags {header[:200]!r}: "
        f'use * or at most {TAGS_MAX} tags in quotes, for example "17", W/"17"'
    )
