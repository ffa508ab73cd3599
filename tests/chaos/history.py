"""What happened in a run: what was sent, stored, served, said and disturbed. The checker reads nothing else.

Times are in ms since 1970, by the one clock that this machine, and so every broker, has.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.models import WireModel
from sluiceway.contracts.replies import Outcome, RefusalCode

FILE = "history.jsonl"
#: Why all commands are sent.
REASON = "chaos"
#: Everybody here and the brokers read one clock, which the brokers round.
ROUNDING_MS = 5


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class SentCommand(WireModel):
    """A command about a feature, sent with one id until somebody answered."""

    id: str
    verb: str
    feature: str
    actor: str
    sent_ms: int
    #: Absent: nobody answered it within the bound.
    answered_ms: int | None = None
    #: How often it was sent again after a client had given up: no answer came, or `unavailable`.
    retries: int = 0
    outcome: Outcome | None = None
    #: The answer says that an earlier attempt was applied.
    is_resent: bool = False
    revision: int | None = None
    refusal: RefusalCode | None = None

    @property
    def is_applied(self) -> bool:
        """Whether the answer says that it is in the log."""
        return self.outcome is Outcome.ACCEPTED or self.is_resent


class SentAlert(WireModel):
    """An alert that the broker acknowledged, about a release that was out and could not end by itself."""

    trigger: str
    acknowledged_ms: int


class StoredEvent(WireModel):
    """A message of FEATURES."""

    sequence: int
    #: When the leader of the stream stored it.
    stored_ms: int
    event: FeatureEvent


class SeenEvent(WireModel):
    """A message of FEATURES as it was read while the run went on."""

    sequence: int
    command_id: str
    time_ms: int


class ServedRules(WireModel):
    """What an edge served of a feature, the same in all samples from the first to the last."""

    edge: str
    region: str
    #: Counts the starts of the edge.
    life: int
    feature: str
    epoch: int
    revision: int
    #: The versions of the feature that were among them.
    versions: tuple[int, ...]
    #: `projection.checksum` of the document.
    checksum: str
    #: The end of the first request, and the beginning of the last one, that they were the answer to.
    first_ms: int
    last_ms: int
    #: When the edge answered without the feature, if that was the next answer.
    absent_ms: int | None = None


class UnservedRules(WireModel):
    """An edge that had served rules in the same life answered a question about them with an error, or not."""

    edge: str
    asked_ms: int
    answered_ms: int
    #: Absent: no answer came.
    status: int | None = None


class FinalRules(WireModel):
    """What an edge held of a feature after everything was healed."""

    edge: str
    region: str
    feature: str
    revision: int
    #: `projection.checksum` of the document.
    checksum: str


class ReadinessAnswer(WireModel):
    """An answer of `/readyz`."""

    process: str
    #: Counts the starts of the process.
    life: int
    host: str
    asked_ms: int
    answered_ms: int
    is_ready: bool


class Fault(WireModel):
    """One fault, from its beginning until everything was ready again."""

    kind: str
    target: str
    started_ms: int
    #: When it was healed: killed processes were started again, cables plugged in.
    healed_ms: int
    #: When every process was ready again; absent: some were not as they should have been.
    ready_ms: int | None = None
    #: What was not ready within its bound, and why.
    unready: dict[str, str] = {}
    #: The hosts that reached no quorum of the brokers, from its beginning until it was healed.
    hosts_cut_off: tuple[str, ...] = ()


class ProcessEnd(WireModel):
    """A process ended."""

    process: str
    time_ms: int
    code: int
    #: The signal by which a fault, or the end of the run, ended it; absent: it ended by itself.
    signal: str | None = None
    #: It did not end within its bound, and was killed.
    is_stuck: bool = False


class LogLine(WireModel):
    """A process wrote something into its log that none should write in a run."""

    process: str
    line: str


class LoopDelay(WireModel):
    """The process that asks and records could do nothing from the first time to the last one.

    The machine was busy, or stood still: so what was to happen meanwhile may be as late.
    """

    first_ms: int
    last_ms: int


class StuckRelease(WireModel):
    """A release that did not get on within the bound, and what it looked like then."""

    trigger: str
    time_ms: int
    state: str


class KnownRegion(WireModel):
    """A region of the run, and its edges."""

    region: Region
    edges: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """Everything that the checker reads."""

    regions: tuple[KnownRegion, ...] = ()
    commands: tuple[SentCommand, ...] = ()
    alerts: tuple[SentAlert, ...] = ()
    #: All of FEATURES, after everything was healed.
    events: tuple[StoredEvent, ...] = ()
    seen: tuple[SeenEvent, ...] = ()
    served: tuple[ServedRules, ...] = ()
    unserved: tuple[UnservedRules, ...] = ()
    final: tuple[FinalRules, ...] = ()
    readiness: tuple[ReadinessAnswer, ...] = ()
    faults: tuple[Fault, ...] = ()
    ends: tuple[ProcessEnd, ...] = ()
    #: That a stream went back, or lost messages.
    breaks: tuple[LogLine, ...] = ()
    #: That the process does not know how something could happen.
    errors: tuple[LogLine, ...] = ()
    stuck: tuple[StuckRelease, ...] = ()
    delays: tuple[LoopDelay, ...] = ()
    #: Why the run ended before its time, if it did.
    aborts: tuple[LogLine, ...] = ()

    def with_final(self, final: tuple[FinalRules, ...]) -> "History":
        """Return it with what the edges held at last."""
        return replace(self, final=final)

    def with_ends(self, ends: Iterable[ProcessEnd]) -> "History":
        """Return it with the ends of all processes, those at the end of the run too."""
        return replace(self, ends=tuple(ends))

    def delay_ms(self, first_ms: int, last_ms: int) -> int:
        """Return for how long, between these times, nothing could be asked or recorded."""
        return sum(
            max(0, min(last_ms, delay.last_ms) - max(first_ms, delay.first_ms)) for delay in self.delays
        )

    def by_feature(self) -> dict[str, list[StoredEvent]]:
        """Return the events of each feature, oldest first."""
        found: dict[str, list[StoredEvent]] = defaultdict(list)
        for entry in self.events:
            found[str(entry.event.feature.key)].append(entry)
        return found

    def write(self, folder: Path) -> None:
        """Write it into a folder, one record a line."""
        with (folder / FILE).open("wb") as file:
            for name in _models():
                for record in getattr(self, name):
                    file.write(b'{"%s":%s}\n' % (name.encode(), record.to_json()))

    @classmethod
    def read(cls, folder: Path) -> "History":
        """Return what `write` has written."""
        models = _models()
        found: dict[str, list[WireModel]] = {name: [] for name in models}
        with (folder / FILE).open("rb") as file:
            for line in file:
                ((name, record),) = json.loads(line).items()
                found[name].append(models[name].model_validate(record))
        return cls(**{name: tuple(records) for name, records in found.items()})  # type: ignore[arg-type]


def _models() -> dict[str, type[WireModel]]:
    hints = get_type_hints(History)
    return {field.name: get_args(hints[field.name])[0] for field in fields(History)}
