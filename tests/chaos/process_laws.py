"""What processes must do: run on, come back, serve, and tell the truth about themselves."""

from bisect import bisect_right
from collections.abc import Iterator

from .history import Fault, History, ReadinessAnswer

#: A process that reaches no quorum of the brokers says that it is not ready within this: it looks at its
#: connections every two seconds, and writes a probe as often.
NOT_READY_MS = 6_000
#: While every process says that it is ready, a command is answered within this: attempts of one second each,
#: some of which a broker that was away until then may lose.
ANSWERED_MS = 5_000
#: Edges are ready as soon as they have rules, also without a broker.
EDGE = "edge-"


def endings(history: History) -> Iterator[str]:
    """Look for processes that ended by themselves, or were not ready after everything was healed."""
    for end in history.ends:
        if not end.is_expected:
            yield f"{end.process} ended by itself, with code {end.code}"
    for fault in history.faults:
        if fault.ready_ms is None:
            what = "; ".join(f"{name}: {why}" for name, why in fault.unready.items())
            yield f"not ready after {fault.kind} ({fault.target}): {what}"


def beliefs(history: History) -> Iterator[str]:
    """Look for processes that took a broker which is behind for a store that went back or was purged."""
    for each in history.breaks:
        yield f"{each.process}: {each.line}"


def serving(history: History) -> Iterator[str]:
    """Look for edges that had rules, ran on, and were not ready later: nothing is a reason for that."""
    ready = set()
    for answer in history.readiness:
        life = (answer.process, answer.life)
        if answer.is_ready:
            ready.add(life)
        elif life in ready and answer.process.startswith(EDGE):
            yield f"{answer.process} was ready, and was not at {answer.asked_ms}"


def readiness(history: History) -> Iterator[str]:
    """Look for processes that said ready although their host was cut off."""
    for fault in filter(lambda fault: fault.hosts_cut_off, history.faults):
        for answer in history.readiness:
            if _is_lie(answer, fault):
                after = answer.asked_ms - fault.started_ms
                yield f"{answer.process} said ready {after} ms after {answer.host} was cut off"


def _is_lie(answer: ReadinessAnswer, fault: Fault) -> bool:
    return (
        answer.is_ready
        and answer.host in fault.hosts_cut_off
        and not answer.process.startswith(EDGE)
        and fault.started_ms + NOT_READY_MS < answer.asked_ms
        and answer.answered_ms < fault.healed_ms
    )


def ability(history: History) -> Iterator[str]:
    """Look for commands that waited although no fault lasted and every process had said that it was ready."""
    for sent in history.commands:
        index = bisect_right(history.faults, sent.sent_ms, key=lambda fault: fault.started_ms)
        before, after = history.faults[:index][-1:], history.faults[index : index + 1]
        if any(fault.ready_ms is None or sent.sent_ms < fault.ready_ms for fault in before):
            continue
        ends = [fault.started_ms for fault in after] + ([sent.answered_ms] if sent.answered_ms else [])
        if (waited := min(ends, default=sent.sent_ms) - sent.sent_ms) > ANSWERED_MS:
            yield f"{sent.verb} {sent.feature} waited {waited} ms at {sent.sent_ms}, although all were ready"
