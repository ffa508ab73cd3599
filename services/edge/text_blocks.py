"""Texts by name, in the order of the names, kept as blocks: a change makes one block again, and no other."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping

from .gzip_stream import Piece

#: Members of a block when it is cut; it is cut again once it has twice as many.
BLOCK_MEMBERS = 256


class TextBlock(Piece):
    """Some members, with commas between them."""

    __slots__ = ("members",)

    def __init__(self, members: Mapping[str, bytes]) -> None:
        """`members`: one at least, in the order of their names."""
        super().__init__()
        self.members = members

    def _join(self) -> bytes:
        return b",".join(self.members.values())


class TextBlocks:
    """All members, in blocks."""

    def __init__(self) -> None:
        self._blocks: list[TextBlock] = []

    def __iter__(self) -> Iterator[TextBlock]:
        return iter(self._blocks)

    def update(self, changes: Mapping[str, bytes | None]) -> None:
        """Set the texts of these members, and remove those that have none.

        A block without a change stays the same object.
        """
        if not changes:
            return
        starts = [next(iter(block.members)) for block in self._blocks]
        by_block: defaultdict[int, dict[str, bytes | None]] = defaultdict(dict)
        for name, text in changes.items():
            by_block[max(0, bisect_right(starts, name) - 1)][name] = text
        blocks = []
        for place, block in enumerate(self._blocks or [TextBlock({})]):
            changed = by_block.get(place)
            blocks += _cut({**block.members, **changed}) if changed else [block]
        self._blocks = blocks


def _cut(members: Mapping[str, bytes | None]) -> list[TextBlock]:
    ordered = sorted((name, text) for name, text in members.items() if text is not None)
    size = BLOCK_MEMBERS if len(ordered) >= 2 * BLOCK_MEMBERS else max(1, len(ordered))
    return [TextBlock(dict(ordered[start : start + size])) for start in range(0, len(ordered), size)]
