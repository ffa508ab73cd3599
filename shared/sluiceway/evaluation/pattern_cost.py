"""How large a pattern is once its repetitions are written out, by arithmetic alone: nothing is compiled."""

from dataclasses import dataclass, field

#: Items of a pattern with its repetitions written out: `(ab){50}` has 150. The engine keeps some 300 bytes
#: for each.
SIZE_MAX = 2_000
#: Groups within groups; the compiler calls itself for each of them.
GROUPS_DEPTH_MAX = 50
#: Characters of one class. The engine repeats a class without looking at the time.
CLASS_LENGTH_MAX = 128
#: Larger sizes are not told apart.
SIZE_COUNTED_MAX = 10**12


@dataclass
class _Group:
    """A group that is open: its size so far, and that of its last item, which a repetition multiplies."""

    size: int = 0
    last: int = 0

    def add(self, size: int, *, hides_items: bool) -> None:
        self.size, self.last = self.size + size, max(self.last, size) if hides_items else size


@dataclass
class PatternCost:
    """Follows a pattern item by item."""

    _groups: list[_Group] = field(default_factory=lambda: [_Group()])
    _deepest: int = 0
    _longest_class: int = 0
    _is_verbose: bool = False

    def verbose(self) -> None:
        """Note that spaces and comments may stand before a repetition, so that any item could be repeated."""
        self._is_verbose = True

    def item(self, size: int = 1) -> None:
        """Count a character or an assertion, or a group of this size."""
        self._groups[-1].add(size, hides_items=self._is_verbose)

    def character_class(self, length: int) -> None:
        """Count a class that is written in so many characters."""
        self._longest_class = max(self._longest_class, length)
        self.item()

    def open(self) -> None:
        """Begin a group."""
        self._groups.append(_Group())
        self._deepest = max(self._deepest, len(self._groups) - 1)

    def close(self) -> None:
        """End the innermost group."""
        group = self._groups.pop()
        self.item(1 + group.size)

    def repeat(self, times: int) -> None:
        """Count the last item so many times."""
        group = self._groups[-1]
        repeated = min(group.last * max(times, 1), SIZE_COUNTED_MAX)
        group.size += repeated - group.last
        group.last = repeated

    @property
    def size(self) -> int:
        """Items with all repetitions written out, of groups that are still open too."""
        return sum(group.size for group in self._groups)

    @property
    def error(self) -> str | None:
        """Why the pattern must not be compiled; None if it may be."""
        if self._deepest > GROUPS_DEPTH_MAX:
            return f"it has groups on {self._deepest} levels; at most {GROUPS_DEPTH_MAX} are allowed"
        if self._longest_class > CLASS_LENGTH_MAX:
            return (
                f"it has a class of {self._longest_class} characters; at most {CLASS_LENGTH_MAX} are allowed"
            )
        if self.size > SIZE_MAX:
            return (
                f"with its repetitions written out it has {self.size} items; at most {SIZE_MAX} are allowed"
            )
        return None
