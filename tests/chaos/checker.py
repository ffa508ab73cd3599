"""History in, findings out: what contradicts the laws of the system. Pure, so it can be tested itself."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from . import evidence
from .answer_laws import answers, freshness
from .evidence import Law
from .history import History
from .log_laws import append_only, order, releases, times
from .process_laws import ability, beliefs, calm, endings, internal_errors, readiness, serving
from .region_laws import containment, convergence, forward


class Finding(NamedTuple):
    """Something that should not have happened."""

    law: str
    text: str


#: What is checked, in the order in which it is printed.
LAWS = (
    Law("every answered command is in the log once, no refused one is", answers, evidence.commands),
    Law("nobody is refused because of an old state", freshness, evidence.unchanged),
    Law("the log is in order: actors, times, one release at a time, no phase early", order, evidence.events),
    Law("the log is only appended to", append_only, evidence.seen),
    Law("no event is older than its command", times, evidence.commands),
    Law("a region has what was released there, and only then", containment, evidence.served),
    Law("what an edge serves moves forward", forward, evidence.served),
    Law("all edges end with what the log says", convergence, evidence.final),
    Law("releases get on, and alerts take them back", releases, evidence.alerts),
    Law("no process ends by itself, stays unready, or does not stop", endings, evidence.ends),
    Law("nobody takes a broker that is behind for a store that lost something", beliefs, evidence.faults),
    Law("no process logs an internal error", internal_errors, evidence.faults),
    Law("an edge goes on serving", serving, evidence.edges),
    Law("who is cut off is not ready", readiness, evidence.cut_off),
    Law("who is not disturbed is ready", calm, evidence.undisturbed),
    Law("if all are ready, commands are answered", ability, evidence.calm_commands),
    Law("the run recorded what it checks", evidence.missing, evidence.faults),
)


def check(history: History) -> list[Finding]:
    """Return everything in a history that contradicts a law."""
    return [Finding(law.text, text) for law in LAWS for text in law.find(history)]


def count_by_law(findings: Iterable[Finding]) -> Counter[str]:
    """Return how many findings each law has."""
    return Counter(finding.law for finding in findings)
