"""History in, findings out: what contradicts the laws of the system. Pure, so it can be tested itself."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from .history import History
from .log_laws import answers, append_only, order, releases, times
from .process_laws import ability, beliefs, endings, readiness, serving
from .region_laws import containment, convergence, forward


class Finding(NamedTuple):
    """Something that should not have happened."""

    law: str
    text: str


#: What is checked → what finds the exceptions.
LAWS: Mapping[str, Callable[[History], Iterator[str]]] = {
    "every answered command is in the log once, no refused one is": answers,
    "the log is in order: actors, times, one release at a time, no phase early": order,
    "the log is only appended to": append_only,
    "no event is older than its command": times,
    "a region has what was released there, and only then": containment,
    "what an edge serves moves forward": forward,
    "all edges end with what the log says": convergence,
    "releases get on, and alerts take them back": releases,
    "no process ends by itself, or stays unready": endings,
    "nobody takes a broker that is behind for a store that lost something": beliefs,
    "an edge goes on serving": serving,
    "who is cut off is not ready": readiness,
    "if all are ready, commands are answered": ability,
}


def check(history: History) -> list[Finding]:
    """Return everything in a history that contradicts a law."""
    return [Finding(law, text) for law, find in LAWS.items() for text in find(history)]


def count_by_law(findings: Iterable[Finding]) -> Counter[str]:
    """Return how many findings each law has."""
    return Counter(finding.law for finding in findings)
