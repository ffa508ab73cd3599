"""A line-by-line diff of two texts, in time that grows with their lines alone.

`difflib` needs minutes for some texts. This is a patience diff: lines that both texts have exactly once are
aligned, then the same is done between them. What is left between is shown as replaced.
https://bramcohen.livejournal.com/73318.html
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

CSS_CLASSES = {"+": "plus", "-": "minus"}
#: Lines that are shown; of a longer diff, only the changes with what is around them.
LINES_SHOWN_MAX = 1_000
#: Lines around a change.
CONTEXT_LINES = 3
#: How often what lies between aligned lines is aligned again. Each level reads every line one time.
LEVELS_MAX = 8

#: A line with `+`, `-` or a space in front, and its CSS class.
ShownLine = tuple[str, str]


class _Gap(NamedTuple):
    """Lines `a_start` to `a_end` of one text, against those of the other."""

    a_start: int
    a_end: int
    b_start: int
    b_end: int
    level: int


def diff_lines(before: str, after: str) -> list[ShownLine]:
    """Return the lines of both texts, with what was removed and added; of long texts only the changes."""
    lines = list(_marked(before.splitlines(), after.splitlines()))
    if len(lines) > LINES_SHOWN_MAX:
        lines = _shortened(lines)
    return [(line, CSS_CLASSES.get(line[:1], "")) for line in lines]


def _marked(a: Sequence[str], b: Sequence[str]) -> Iterator[str]:
    at_a = at_b = 0
    for index_a, index_b in (*_aligned(a, b), (len(a), len(b))):
        yield from (f"- {line}" for line in a[at_a:index_a])
        yield from (f"+ {line}" for line in b[at_b:index_b])
        if index_a < len(a):
            yield f"  {a[index_a]}"
        at_a, at_b = index_a + 1, index_b + 1


def _shortened(lines: Sequence[str]) -> list[str]:
    """Return the changed lines with their context, at most so many, and how many changes there are."""
    changed = [index for index, line in enumerate(lines) if line[0] != " "]
    near = {n for index in changed for n in range(index - CONTEXT_LINES, index + CONTEXT_LINES + 1)}
    shown = [lines[index] for index in sorted(near) if 0 <= index < len(lines)][:LINES_SHOWN_MAX]
    added = sum(line[0] == "+" for line in lines)
    return [*shown, f"  … in all, {added:,} lines are added and {len(changed) - added:,} are removed"]


def _aligned(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of indexes of equal lines, both rising."""
    pairs: list[tuple[int, int]] = []
    gaps = [_Gap(0, len(a), 0, len(b), 0)]
    while gaps:
        gap = gaps.pop()
        found = _ends(a, b, gap)
        inner = _Gap(
            gap.a_start + found.head,
            gap.a_end - found.tail,
            gap.b_start + found.head,
            gap.b_end - found.tail,
            gap.level,
        )
        pairs += ((gap.a_start + n, gap.b_start + n) for n in range(found.head))
        pairs += ((gap.a_end - n, gap.b_end - n) for n in range(1, found.tail + 1))
        if gap.level < LEVELS_MAX:
            anchors = _anchors(a, b, inner)
            pairs += anchors
            gaps += _between(inner, anchors) if anchors else ()
    return sorted(pairs)


class _Ends(NamedTuple):
    """How many lines a gap has in common at its start and at its end."""

    head: int
    tail: int


def _ends(a: Sequence[str], b: Sequence[str], gap: _Gap) -> _Ends:
    length = min(gap.a_end - gap.a_start, gap.b_end - gap.b_start)
    head = 0
    while head < length and a[gap.a_start + head] == b[gap.b_start + head]:
        head += 1
    tail = 0
    while tail < length - head and a[gap.a_end - 1 - tail] == b[gap.b_end - 1 - tail]:
        tail += 1
    return _Ends(head, tail)


def _anchors(a: Sequence[str], b: Sequence[str], gap: _Gap) -> list[tuple[int, int]]:
    """Return the lines that both sides of a gap have exactly once: the longest sequence of equal order."""
    unique_a, unique_b = _unique(a, gap.a_start, gap.a_end), _unique(b, gap.b_start, gap.b_end)
    pairs = [(index, unique_b[line]) for line, index in unique_a.items() if line in unique_b]
    return _longest_rising(pairs)


def _unique(lines: Sequence[str], start: int, end: int) -> dict[str, int]:
    counts = Counter(lines[start:end])
    return {lines[n]: n for n in range(start, end) if counts[lines[n]] == 1}


def _longest_rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest subsequence in which the second members rise too; O(n log n)."""
    tops: list[int] = []
    ends: list[int] = []
    previous: list[int | None] = []
    for index, (_, value) in enumerate(pairs):
        pile = bisect_left(tops, value)
        previous.append(ends[pile - 1] if pile else None)
        tops[pile : pile + 1], ends[pile : pile + 1] = [value], [index]
    found: list[tuple[int, int]] = []
    at = ends[-1] if ends else None
    while at is not None:
        found.append(pairs[at])
        at = previous[at]
    return found[::-1]


def _between(gap: _Gap, anchors: Sequence[tuple[int, int]]) -> Iterator[_Gap]:
    a_start, b_start = gap.a_start, gap.b_start
    for a_end, b_end in (*anchors, (gap.a_end, gap.b_end)):
        if a_start < a_end and b_start < b_end:
            yield _Gap(a_start, a_end, b_start, b_end, gap.level + 1)
        a_start, b_start = a_end + 1, b_end + 1
