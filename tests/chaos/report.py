"""What a run prints: a line every ten seconds, and a table at the end."""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sluiceway.contracts.replies import Outcome

from .checker import LAWS, Finding, count_by_law
from .fault_kinds import KINDS
from .faults import Faults
from .history import Fault, History, SentCommand
from .region_laws import longest_lateness
from .sender import Sender

PROGRESS_SECONDS = 10.0
#: Findings of one law that are printed; the file has all.
SHOWN_MAX = 10
#: Of the logs, stores and history of a run: an hour takes a tenth of it.
FOLDER_BYTES_MAX = 4 * 2**30
#: The unit of `st_blocks`.
BLOCK_BYTES = 512


async def print_progress(sender: Sender, faults: Faults, folder: Path) -> None:
    """Print a line every ten seconds, until cancelled; `OSError` if the run fills the disk."""
    seen = 0
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        await asyncio.to_thread(check_size, folder)
        recent, seen = sender.commands[seen:], len(sender.commands)
        print(
            f"{time.strftime('%H:%M:%S')} {progress(sender.commands, recent)}, {len(faults.faults)} faults",
            flush=True,
        )


def check_size(folder: Path, bytes_max: int = FOLDER_BYTES_MAX) -> None:
    """Raise `OSError` if the files of a run take more than that."""
    size = sum(_size(Path(place, name)) for place, _, names in os.walk(folder) for name in names)
    if size > bytes_max:
        raise OSError(f"{folder} has {size} bytes, more than {bytes_max}: the run ends")


def _size(file: Path) -> int:
    """Return the bytes that a file takes; none if it has been removed meanwhile."""
    try:
        return file.stat().st_blocks * BLOCK_BYTES
    except FileNotFoundError:
        return 0


def progress(commands: Sequence[SentCommand], recent: Iterable[SentCommand]) -> str:
    """Return how many commands were answered so far, and the latency of the recent ones."""
    outcomes = Counter(sent.outcome for sent in commands)
    retried = sum(sent.retries > 0 for sent in commands)
    return (
        f"{len(commands) - outcomes[None]} commands answered, {outcomes[Outcome.REFUSED]} refused, "
        f"{retried} given up by clients, p99 {percentile(durations(recent), 99)} ms"
    )


class Stall(NamedTuple):
    """How the faults of one kind were noticed."""

    kind: str
    times: int
    #: The longest time for an answer to a command that was sent, or under way, during such a fault.
    longest_ms: int
    #: How many of these a client gave up, since no answer came in 15 s.
    given_up: int
    #: The longest time from healing one until everything was ready again.
    ready_after_ms: int


def stalls(history: History) -> list[Stall]:
    """Return the longest stalls of each kind of fault."""
    by_kind: dict[str, list[Fault]] = defaultdict(list)
    for fault in history.faults:
        by_kind[fault.kind].append(fault)
    return [_stall(kind, faults, history) for kind, faults in sorted(by_kind.items())]


def _stall(kind: str, faults: Sequence[Fault], history: History) -> Stall:
    commands = [sent for sent in history.commands if _overlaps(sent, faults)]
    return Stall(
        kind,
        len(faults),
        max(durations(commands), default=0),
        sum(sent.retries > 0 for sent in commands),
        max((fault.ready_ms - fault.healed_ms for fault in faults if fault.ready_ms), default=0),
    )


def summary(history: History, findings: Sequence[Finding]) -> list[str]:
    """Return the lines that are printed at the end."""
    counts = count_by_law(findings)
    lines = [progress(history.commands, history.commands)]
    lines.append(
        f"{len(history.events)} events, {len(history.alerts)} alerts, {len(history.served)} versions served"
    )
    late = longest_lateness(history)
    lines.append(f"a version that was taken back was served for {late.taken_back_ms} ms at most")
    lines.append(f"rules that others had replaced were served for {late.replaced_ms} ms at most")
    lines.append(
        f"this process itself was held up {len(history.delays)} times, {_longest_delay(history)} ms at most"
    )
    lines += ["", f"{'fault':<28}{'times':>6}{'longest stall':>16}{'given up':>11}{'ready after':>14}"]
    for stall in stalls(history):
        lines.append(
            f"{stall.kind:<28}{stall.times:>6}{stall.longest_ms:>13} ms{stall.given_up:>11}"
            f"{stall.ready_after_ms:>11} ms"
        )
    lines += [f"not tried: {kind}" for kind in KINDS if kind not in {fault.kind for fault in history.faults}]
    lines += ["", f"{'law':<76}{'cases':>9}{'findings':>9}"]
    lines += [f"{law.text:<76}{law.count(history):>9}{counts[law.text]:>9}" for law in LAWS]
    lines += [f"not tried, as there was no case of it: {law.text}" for law in LAWS if not law.count(history)]
    for law in LAWS:
        shown = [finding.text for finding in findings if finding.law == law.text]
        lines += [f"  {law.text}: {text}" for text in shown[:SHOWN_MAX]]
        if len(shown) > SHOWN_MAX:
            lines.append(f"  … and {len(shown) - SHOWN_MAX} more")
    return lines


def _longest_delay(history: History) -> int:
    return max((delay.last_ms - delay.first_ms for delay in history.delays), default=0)


def markdown(history: History) -> list[str]:
    """Return the table of docs/faults.md."""
    lines = [
        "| fault | times | longest wait for an answer | given up by clients | all is ready again after |",
        "|---|---|---|---|---|",
    ]
    for stall in stalls(history):
        what = (KINDS[stall.kind].__doc__ or "").partition("\n")[0].removesuffix(".")
        row = (
            f"**{stall.kind}**: {what}",
            str(stall.times),
            _seconds(stall.longest_ms),
            str(stall.given_up),
            _seconds(stall.ready_after_ms),
        )
        lines.append(f"| {' | '.join(row)} |")
    return lines


def _seconds(milliseconds: int) -> str:
    return "under 0.1 s" if milliseconds < 100 else f"{milliseconds / 1_000:.1f} s"


def durations(commands: Iterable[SentCommand]) -> list[int]:
    """Return how many ms each answer took, in order of size."""
    return sorted(sent.answered_ms - sent.sent_ms for sent in commands if sent.answered_ms is not None)


def percentile(values: Sequence[int], percent: int) -> int:
    """Return the value below which `percent` of the sorted values lie; 0 without any."""
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else 0


def _overlaps(sent: SentCommand, faults: Iterable[Fault]) -> bool:
    answered_ms = sent.answered_ms or sent.sent_ms
    return any(
        sent.sent_ms <= (fault.ready_ms or fault.healed_ms) and fault.started_ms <= answered_ms
        for fault in faults
    )
