"""Which features a feature refers to, and which references are refused.

A cycle of references crashes or stalls the official SDKs. So does a long chain in which every feature
refers to the next one twice: they evaluate it again for each reference, which doubles the cost per level.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from ..contracts.conditions import Condition, ConditionType
from ..contracts.feature import Feature, Spec
from ..contracts.identifiers import SEGMENT_PREFIX
from ..contracts.pipeline import Pipeline
from .reference_graph import GraphReferences, References

#: Levels of features that refer to one another; the SDKs give up at 64.
LEVELS_MAX = 32
#: Evaluations that one check may take in an SDK, which caches none of them.
EVALUATIONS_MAX = 1_000

GATE_REFERENCES = frozenset({ConditionType.PASSES_GATE, ConditionType.FAILS_GATE})
SEGMENT_REFERENCES = frozenset({ConditionType.PASSES_SEGMENT, ConditionType.FAILS_SEGMENT})


def referenced_spec(condition: Condition) -> str | None:
    """Return the spec that a condition refers to; None if it refers to none."""
    if not isinstance(condition.target_value, str):
        return None
    if condition.type in GATE_REFERENCES:
        return condition.target_value
    return f"{SEGMENT_PREFIX}{condition.target_value}" if condition.type in SEGMENT_REFERENCES else None


def condition_references(conditions: Iterable[Condition]) -> tuple[str, ...]:
    """Return the specs that conditions refer to."""
    return tuple(name for condition in conditions if (name := referenced_spec(condition)))


def references_of(spec: Spec | None, pipeline: Pipeline | None = None) -> tuple[str, ...]:
    """Return what a version refers to, and what the pipeline that releases it refers to."""
    own = [condition for rule in spec.rules for condition in rule.conditions] if spec else []
    phases = pipeline.phases if pipeline else ()
    return condition_references(own) + condition_references(
        c for p in phases for rule in p.rules for c in rule.conditions
    )


def feature_references(feature: Feature) -> tuple[str, ...]:
    """Return what a feature refers to; while its trigger is active, also by its candidate and phases."""
    if feature.archived:
        return ()
    pipeline = feature.trigger.pipeline if feature.trigger and feature.candidate else None
    return references_of(feature.base) + references_of(feature.candidate, pipeline)


def evaluated_references(feature: Feature) -> tuple[str, ...]:
    """Return what regions evaluate with a feature: a version that is switched off refers to nothing."""
    if feature.archived:
        return ()
    pipeline = feature.trigger.pipeline if feature.trigger and feature.candidate else None
    base, candidate = (
        spec if spec and spec.is_enabled else None for spec in (feature.base, feature.candidate)
    )
    return references_of(base) + references_of(candidate, pipeline)


def added_references(before: Feature | None, after: Feature) -> tuple[str, ...]:
    """Return what regions evaluate with a feature after a change, and did not evaluate before."""
    known = evaluated_references(before) if before else ()
    return tuple((Counter(evaluated_references(after)) - Counter(known)).elements())


def reference_error(
    name: str, own: tuple[str, ...], known: References, added: tuple[str, ...] | None = None
) -> str | None:
    """Return why a feature must not refer to these; None if it may.

    `added` are those of them that a change adds (default: all). A change is not refused for the others,
    since it may be the one that corrects them.
    """
    new = own if added is None else added
    missing = sorted({reference for reference in new if reference not in known})
    if missing:
        return f"it refers to {', '.join(missing)}, which does not exist; save that first"
    return evaluation_error(name, own, known, new) if new else None


def evaluation_error(
    name: str, own: tuple[str, ...], known: References, added: tuple[str, ...] | None = None
) -> str | None:
    """Return why evaluating a feature with these references would harm an SDK; None if it would not.

    A reference to a feature that does not exist harms nobody: it is false.
    """
    graph = _Graph(known, name, own)
    if cycle := graph.cycle_from(name, own if added is None else added):
        return f"it refers to itself: {' → '.join(cycle)}"
    for root in (name, *graph.ancestors_of(name)):
        if (levels := graph.levels(root)) > LEVELS_MAX:
            return f"{root} would refer to features over {levels} levels; at most {LEVELS_MAX} are allowed"
        if (count := graph.evaluations(root)) > EVALUATIONS_MAX:
            return f"a check of {root} would take {count} evaluations; at most {EVALUATIONS_MAX} are allowed"
    return None


def related(name: str, known: References) -> set[str]:
    """Return everything that `name` refers to or that refers to it, directly or through others."""
    graph = _Graph(known, name, known.get(name, ()))
    below, queue = set[str](), [name]
    while queue:
        new = set(known.get(queue.pop(), ())) - below
        below |= new
        queue += new
    return (graph.ancestors_of(name) | below) - {name}


def referrers_of(name: str, known: References) -> list[str]:
    """Return the specs that refer to a spec."""
    return sorted(_referrers(known)(name))


def _referrers(known: References) -> Callable[[str], Iterable[str]]:
    """Return what finds those who refer to a name; references that are no graph are walked once."""
    if isinstance(known, GraphReferences):
        return known.referrers
    found: dict[str, list[str]] = {}
    for referrer, references in known.items():
        for reference in set(references):
            found.setdefault(reference, []).append(referrer)
    return lambda name: found.get(name, ())


class _Graph:
    """The references that are known, in which one feature refers to `own`."""

    def __init__(self, known: References, name: str, own: tuple[str, ...]) -> None:
        self._known = known
        self._name = name
        self._own = own
        self._levels: dict[str, int] = {}
        self._evaluations: dict[str, int] = {}

    def _below(self, name: str) -> tuple[str, ...]:
        return self._own if name == self._name else self._known.get(name, ())

    def cycle_from(self, name: str, first: tuple[str, ...]) -> list[str] | None:
        """Return a path from `name` back to itself, by one of its references in `first`; None without one."""
        paths, seen = [[name]], set[str]()
        while paths:
            path = paths.pop()
            for reference in first if path == [name] else self._below(path[-1]):
                if reference == name:
                    return [*path, name]
                if reference not in seen:
                    seen.add(reference)
                    paths.append([*path, reference])
        return None

    def ancestors_of(self, name: str) -> set[str]:
        """Return everything that refers to `name`, directly or through others."""
        above, found = _referrers(self._known), set[str]()
        queue = [name]
        while queue:
            new = set(above(queue.pop())) - found
            found |= new
            queue += new
        return found - {name}

    def levels(self, name: str) -> int:
        """Return how many levels of features a check evaluates."""
        for each in self._bottom_up(name):
            below = (self._levels.get(reference, 0) for reference in self._below(each))
            self._levels[each] = 1 + max(below, default=0)
        return self._levels[name]

    def evaluations(self, name: str) -> int:
        """Return how many evaluations a check takes if nothing is cached."""
        for each in self._bottom_up(name):
            below = (self._evaluations.get(reference, 0) for reference in self._below(each))
            self._evaluations[each] = 1 + sum(below)
        return self._evaluations[name]

    def _bottom_up(self, name: str) -> list[str]:
        """Return everything that `name` refers to and itself, each after all that it refers to.

        A cycle among others is visited once.
        """
        order: list[str] = []
        seen: set[str] = set()
        stack = [(name, False)]
        while stack:
            each, is_done = stack.pop()
            if is_done:
                order.append(each)
            elif each not in seen:
                seen.add(each)
                stack.append((each, True))
                stack += [(reference, False) for reference in self._below(each)]
        return order
