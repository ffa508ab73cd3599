"""What the laws had to look at: a law that saw nothing proves nothing, and the report says so."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from .history import History
from .process_laws import EDGE, is_cut_off, is_undisturbed, undisturbed_until


class Law(NamedTuple):
    """Something that is checked."""

    text: str
    #: What finds the exceptions.
    find: Callable[[History], Iterator[str]]
    #: How many cases of it there were.
    count: Callable[[History], int]


def commands(history: History) -> int:
    return len(history.commands)


def unchanged(history: History) -> int:
    """Return how many commands changed nothing."""
    return sum(sent.answered_ms is not None and not sent.is_applied for sent in history.commands)


def events(history: History) -> int:
    return len(history.events)


def seen(history: History) -> int:
    return len(history.seen)


def served(history: History) -> int:
    return len(history.served)


def final(history: History) -> int:
    return len(history.final)


def alerts(history: History) -> int:
    return len(history.alerts)


def ends(history: History) -> int:
    return len(history.ends)


def faults(history: History) -> int:
    return len(history.faults)


def edges(history: History) -> int:
    """Return how often edges were asked."""
    return sum(answer.process.startswith(EDGE) for answer in history.readiness)


def cut_off(history: History) -> int:
    """Return how often processes were asked that had no quorum of the brokers for long."""
    return sum(is_cut_off(answer, fault) for fault in history.faults for answer in history.readiness)


def undisturbed(history: History) -> int:
    """Return how often processes were asked while no fault lasted."""
    return sum(is_undisturbed(answer, history) for answer in history.readiness)


def calm_commands(history: History) -> int:
    """Return how many commands were sent while no fault lasted."""
    return sum(undisturbed_until(sent, history) is not None for sent in history.commands)


def missing(history: History) -> Iterator[str]:
    """Name what a run without any of it cannot have checked, whatever was disturbed."""
    yield from (f"the run ended early: {abort.line}" for abort in history.aborts)
    for count in (commands, events, seen, served, final, edges, faults):
        if not count(history):
            yield f"no {count.__name__} were recorded"
    serving = {served.edge for served in history.served}
    for edge in (edge for known in history.regions for edge in known.edges if edge not in serving):
        yield f"{edge} was never seen to serve anything"
