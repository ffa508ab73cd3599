"""What processes must do: run on, come back, serve, and tell the truth about themselves."""

from bisect import bisect_right
from collections.abc import Iterator

from .history import Fault, History, ReadinessAnswer, SentCommand

#: A process that reaches no quorum of the brokers says that it is not ready within this: it looks at its
#: connections every two seconds, and writes a probe as often.
NOT_READY_MS = 6_000
#: While every process says that it is ready, a command is answered within this: attempts of one second each,
#: some of which a broker that was away until then may lose.
ANSWERED_MS = 5_000
#: The signal that gives a process no time to end as it should.
KILL = "SIGKILL"
#: Edges are ready as soon as they have rules, also without a broker.
EDGE = "edge-"


def endings(history: History) -> Iterator[str]:
    """Look for processes that ended by themselves, or were not ready after everything was healed."""
    for end in history.ends:
        if end.signal is None:
            yield f"{end.process} ended by itself, with code {end.code}"
        elif end.is_stuck:
            yield f"{end.process} did not end after {end.signal}, and was killed"
        elif end.signal != KILL and end.code:
            yield f"{end.process} ended with code {end.code} after {end.signal}"
    for fault in history.faults:
        if fault.ready_ms is None:
            what = "; ".join(f"{name}: {why}" for name, why in fault.unready.items())
            yield f"not ready after {fault.kind} ({fault.target}): {what}"


def beliefs(history: History) -> Iterator[str]:
    """Look for processes that took a broker which is behind for a store that went back or was purged."""
    for each in history.breaks:
        yield f"{each.process}: {each.line}"


def internal_errors(history: History) -> Iterator[str]:
    """Look for processes that logged an error for which they know no reason."""
    for each in history.errors:
        yield f"{each.process}: {each.line}"


def serving(history: History) -> Iterator[str]:
    """Look for edges that had rules, ran on, and did not serve them later: nothing is a reason for that."""
    for error in history.unserved:
        if error.status is not None or not history.delay_ms(error.asked_ms, error.answered_ms):
            yield f"{error.edge} answered {error.status} at {error.asked_ms}, although it had served rules"
    ready = set()
    for answer in history.readiness:
        life = (answer.process, answer.life)
        if answer.is_ready:
            ready.add(life)
        elif life in ready and answer.process.startswith(EDGE) and not _is_excused(answer, history):
            yield f"{answer.process} was ready, and was not at {answer.asked_ms}"


def readiness(history: History) -> Iterator[str]:
    """Look for processes that said ready although their host was cut off."""
    for fault in filter(lambda fault: fault.hosts_cut_off, history.faults):
        for answer in history.readiness:
            if _is_lie(answer, fault, history):
                after = answer.asked_ms - fault.started_ms
                yield f"{answer.process} said ready {after} ms after {answer.host} was cut off"


def _is_lie(answer: ReadinessAnswer, fault: Fault, history: History) -> bool:
    return is_cut_off(answer, fault) and answer.is_ready and not _is_early(answer, fault, history)


def is_cut_off(answer: ReadinessAnswer, fault: Fault) -> bool:
    """Return whether a process that needs a quorum of the brokers had none for long, by this fault."""
    return (
        answer.host in fault.hosts_cut_off
        and not answer.process.startswith(EDGE)
        and fault.started_ms + NOT_READY_MS < answer.asked_ms
        and answer.answered_ms < fault.healed_ms
    )


def _is_early(answer: ReadinessAnswer, fault: Fault, history: History) -> bool:
    """Return whether the process had less time than it needs, because the machine stood still."""
    delay_ms = history.delay_ms(fault.started_ms, answer.asked_ms)
    return fault.started_ms + NOT_READY_MS + delay_ms >= answer.asked_ms


def _is_excused(answer: ReadinessAnswer, history: History) -> bool:
    """Return whether the machine stood still while, or shortly before, a process was asked."""
    return history.delay_ms(answer.asked_ms - NOT_READY_MS, answer.answered_ms) > 0


def calm(history: History) -> Iterator[str]:
    """Look for processes that were not ready although no fault lasted, and all had been ready."""
    for answer in history.readiness:
        if not answer.is_ready and is_undisturbed(answer, history) and not _is_excused(answer, history):
            yield f"{answer.process} was not ready at {answer.asked_ms}, although no fault lasted"


def is_undisturbed(answer: ReadinessAnswer, history: History) -> bool:
    """Return whether no fault lasted while a process was asked."""
    started, ended = answer.asked_ms, answer.answered_ms
    index = bisect_right(history.faults, ended, key=lambda fault: fault.started_ms)
    return all(
        fault.ready_ms is not None and fault.ready_ms < started for fault in history.faults[:index][-1:]
    )


def ability(history: History) -> Iterator[str]:
    """Look for commands that waited although no fault lasted and every process had said that it was ready."""
    for sent in history.commands:
        if (end := undisturbed_until(sent, history)) is None:
            continue
        waited = end - sent.sent_ms - history.delay_ms(sent.sent_ms, end)
        if waited > ANSWERED_MS:
            yield f"{sent.verb} {sent.feature} waited {waited} ms at {sent.sent_ms}, although all were ready"


def undisturbed_until(sent: SentCommand, history: History) -> int | None:
    """Return until when a command waited before it was answered or a fault began; None if one lasted."""
    index = bisect_right(history.faults, sent.sent_ms, key=lambda fault: fault.started_ms)
    before, after = history.faults[:index][-1:], history.faults[index : index + 1]
    if any(fault.ready_ms is None or sent.sent_ms < fault.ready_ms for fault in before):
        return None
    ends = [fault.started_ms for fault in after] + ([sent.answered_ms] if sent.answered_ms else [])
    return min(ends, default=sent.sent_ms)
