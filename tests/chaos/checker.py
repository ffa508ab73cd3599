"""History in, findings out: what contradicts the laws of the system. Pure, so it can be tested itself."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, pairwise
from typing import NamedTuple

from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import Feature, PhaseRun, TriggerStatus
from sluiceway.pipelines.projection import checksum, project
from sluiceway.pipelines.segments import Extent, Location, coverage

from .history import Fault, History, ReadinessAnswer, SentCommand, ServedRules, StoredEvent

#: By how much the time of an event may differ from the broker's: what measuring it may be wrong by.
CLOCK_ERROR_MS = 1_500
#: Samples and the broker read one clock, which the broker rounds.
ROUNDING_MS = 5
#: A candidate that was taken back is gone from a region within this, whatever the faults meanwhile.
TAKEN_BACK_MS = 60_000
#: A process that reaches no quorum of the brokers says that it is not ready within this: it looks at its
#: connections every two seconds, and writes a probe as often.
NOT_READY_MS = 6_000
#: Edges are ready as soon as they have rules, also without a broker.
EDGE = "edge-"


class Finding(NamedTuple):
    """Something that should not have happened."""

    law: str
    text: str


def check(history: History) -> list[Finding]:
    """Return everything in a history that contradicts a law."""
    return [Finding(law, text) for law, find in LAWS.items() for text in find(history)]


def _answers(history: History) -> Iterator[str]:
    """Compare what was answered with the log: accepted is stored once, refused is not stored."""
    stored = defaultdict(list)
    for entry in history.events:
        stored[entry.event.command_id].append(entry)
    for sent in history.commands:
        if problem := _problem_of(sent, stored[sent.id]):
            yield f"{sent.verb} {sent.feature} ({sent.id}): {problem}"


def _problem_of(sent: SentCommand, stored: list[StoredEvent]) -> str | None:
    sequences = [entry.sequence for entry in stored]
    if sent.answered_ms is None:
        return f"nobody answered it; stored at {sequences}"
    if len(sequences) > 1:
        return f"stored more than once, at {sequences}"
    if not sent.is_applied:
        return f"answered {sent.refusal or sent.outcome}, but stored at {sequences}" if sequences else None
    if not sequences:
        return f"answered at revision {sent.revision}, but lost"
    if sent.revision is None or not _names(sent, stored[0]):
        return f"answered at revision {sent.revision}, but stored at {sequences}"
    return None


def _names(sent: SentCommand, stored: StoredEvent) -> bool:
    """Return whether the answered revision is that of the event; a later one, if it was applied before."""
    assert sent.revision is not None
    return sent.revision == stored.sequence or (sent.is_resent and sent.revision > stored.sequence)


def _log(history: History) -> Iterator[str]:
    """Look at each feature's events: who, when, one release at a time, and no phase too early."""
    for feature, entries in _by_feature(history).items():
        for before, after in pairwise([None, *entries]):
            assert after
            for problem in _problems_of_event(before, after):
                yield f"{feature}, event {after.sequence} ({after.event.type}): {problem}"
        for problem in _problems_of_phases([entry.event for entry in entries]):
            yield f"{feature}: {problem}"


def _problems_of_event(before: StoredEvent | None, after: StoredEvent) -> Iterator[str]:
    event = after.event
    if not (event.actor_id and event.time_ms and event.command_id):
        yield "it has no actor, time or command"
    if before and event.time_ms < before.event.time_ms:
        yield f"its time is {before.event.time_ms - event.time_ms} ms before that of the event before it"
    if event.time_ms > after.stored_ms + CLOCK_ERROR_MS:
        yield f"its time is {event.time_ms - after.stored_ms} ms after it was stored"
    if event.type is EventType.TRIGGER_STARTED and before and before.event.feature.active_trigger:
        yield f"it started a release while {before.event.feature.active_trigger.id} was active"


def _problems_of_phases(events: list[FeatureEvent]) -> Iterator[str]:
    """Look at the last state of each release; a skip excuses the phase that it ended."""
    skipped = {(event.feature.trigger.id, event.phase_id) for event in events if _is_skip(event)}  # type: ignore[union-attr]
    last = {event.feature.trigger.id: event.feature.trigger for event in events if event.feature.trigger}
    for trigger in last.values():
        runs = [run for run in trigger.phases if run.started_ms is not None]
        for run in runs:
            needed = run.phase.approvals.count if run.phase.approvals else 1
            if run.phase.required_review and len(run.approvals) < needed:
                yield f"{trigger.id} started {run.phase.id} with {len(run.approvals)} approvals of {needed}"
        for earlier, later in pairwise(runs):
            if (trigger.id, earlier.phase.id) not in skipped and (missing := _missing_ms(earlier, later)) > 0:
                yield f"{trigger.id} started {later.phase.id} {missing} ms before the bake before it was over"


def _is_skip(event: FeatureEvent) -> bool:
    return event.type is EventType.PHASE_SKIPPED and event.feature.trigger is not None


def _missing_ms(earlier: PhaseRun, later: PhaseRun) -> int:
    assert earlier.started_ms is not None
    assert later.started_ms is not None
    return earlier.started_ms + earlier.phase.time_interval_ms - later.started_ms


def _append_only(history: History) -> Iterator[str]:
    """Compare what was read of the log during the run with what it says in the end."""
    stored = {entry.sequence: entry.event for entry in history.events}
    for seen in history.seen:
        event = stored.get(seen.sequence)
        if event is None or (event.command_id, event.time_ms) != (seen.command_id, seen.time_ms):
            what = "gone" if event is None else f"of command {event.command_id}"
            yield f"event {seen.sequence} was of command {seen.command_id}, and is {what}"


def _times(history: History) -> Iterator[str]:
    """Compare the times of events with those at which their commands were sent."""
    stored = {entry.event.command_id: entry for entry in history.events}
    for sent in history.commands:
        entry = stored.get(sent.id)
        if entry and entry.event.time_ms < sent.sent_ms - CLOCK_ERROR_MS:
            early = sent.sent_ms - entry.event.time_ms
            yield f"event {entry.sequence} of {sent.feature} is {early} ms older than its command"


def _regions(history: History) -> Iterator[str]:
    """Compare what each edge served with the log: never early, never again, and never back."""
    allowed = _Allowed(history)
    for served in history.served:
        if problem := allowed.problem_of(served):
            yield f"{served.edge} served {served.feature} at revision {served.revision}: {problem}"


class _Allowed:
    """Which versions of a feature a region may have, by the log."""

    def __init__(self, history: History) -> None:
        self._events = {entry.sequence: entry for entry in history.events}
        self._places = {known.region.name: Location.of(known.region) for known in history.regions}
        self._by_feature = _by_feature(history)
        #: Sequence → the place of the event in its feature's log.
        self._index = {
            entry.sequence: index
            for entries in self._by_feature.values()
            for index, entry in enumerate(entries)
        }

    def knows(self, served: ServedRules) -> bool:
        """Return whether the log has the event that is served."""
        entry = self._events.get(served.revision)
        return entry is not None and str(entry.event.feature.key) == served.feature

    def problem_of(self, served: ServedRules) -> str | None:
        """Return what is wrong with what was served; None if nothing is."""
        if not self.knows(served):
            return "the log has no such event of it"
        entry = self._events[served.revision]
        if served.first_ms < entry.stored_ms - ROUNDING_MS:
            return f"{entry.stored_ms - served.first_ms} ms before that event was stored"
        place = self._places[served.region]
        if extra := set(served.versions) - allowed_versions(entry.event.feature, place):
            return f"the versions {sorted(extra)} were not released there"
        if (late := self.late_ms(served)) > TAKEN_BACK_MS:
            return f"the versions {list(served.versions)} still {late} ms after one was taken back"
        if served.absent_ms is not None and not self._is_removed(served):
            return "it was not served any more in the next answer"
        return None

    def late_ms(self, served: ServedRules) -> int:
        """Return for how long a version was still served after it was taken back there; 0 if it was not."""
        place = self._places[served.region]
        for later in self._after(served):
            if set(served.versions) - allowed_versions(later.event.feature, place):
                return max(0, served.last_ms - later.stored_ms)
        return 0

    def _is_removed(self, served: ServedRules) -> bool:
        """Return whether the region should have nothing of the feature by when it was absent."""
        place = self._places[served.region]
        return any(
            later.stored_ms <= (served.absent_ms or 0) and not allowed_versions(later.event.feature, place)
            for later in self._after(served)
        )

    def _after(self, served: ServedRules) -> Iterator[StoredEvent]:
        """Yield the events of the feature after the one that is served."""
        return islice(self._by_feature[served.feature], self._index[served.revision] + 1, None)


def longest_taken_back_ms(history: History) -> int:
    """Return for how long a version was served after it was taken back, at most, by any edge."""
    allowed = _Allowed(history)
    return max((allowed.late_ms(served) for served in history.served if allowed.knows(served)), default=0)


def allowed_versions(feature: Feature, place: Location) -> set[int]:
    """Return the versions that a region may have in this state: the base, and a candidate released there."""
    if feature.archived:
        return set()
    versions = {feature.base.version} if feature.base else set()
    is_released = (
        feature.candidate is not None
        and feature.trigger is not None
        and any(
            coverage((run.phase,), place).extent is not Extent.NONE
            for run in feature.trigger.phases
            if run.started_ms is not None
        )
    )
    return versions | {feature.candidate.version} if is_released and feature.candidate else versions


def _forward(history: History) -> Iterator[str]:
    """Look whether what an edge served of a feature went back, also when it was started again."""
    by_edge = defaultdict(list)
    for served in history.served:
        by_edge[served.edge, served.feature].append(served)
    for (edge, feature), records in by_edge.items():
        records.sort(key=lambda record: record.first_ms)
        for before, after in pairwise(records):
            if (after.epoch, after.revision) < (before.epoch, before.revision):
                yield f"{edge} went back from revision {before.revision} of {feature} to {after.revision}"


def convergence(history: History) -> Iterator[str]:
    """Compare what every edge holds in the end with what the newest state of each feature projects to."""
    newest = {entry.event.feature.key: entry for entry in history.events}
    held = {(final.edge, final.feature): final for final in history.final}
    for known in history.regions:
        place = Location.of(known.region)
        expected = {
            str(key): (entry.sequence, checksum(document))
            for key, entry in newest.items()
            if (document := project(entry.event, entry.sequence, place))
        }
        for edge in known.edges:
            features = expected.keys() | {feature for name, feature in held if name == edge}
            for feature in sorted(features):
                final = held.get((edge, feature))
                found = final and final.checksum
                if found != (expected[feature][1] if feature in expected else None):
                    revision = final.revision if final else None
                    yield f"{edge} has {feature} of revision {revision}, the log says {expected.get(feature)}"


def _releases(history: History) -> Iterator[str]:
    """Look whether releases got on and ended, and whether each alert took its release back."""
    for stuck in history.stuck:
        yield f"{stuck.trigger} did not get on: {stuck.state}"
    statuses: dict[str, TriggerStatus] = {}
    for entry in history.events:
        if trigger := entry.event.feature.trigger:
            statuses[trigger.id] = trigger.status
    for trigger_id, status in statuses.items():
        if status.is_active:
            yield f"{trigger_id} is still {status}"
    for alert in history.alerts:
        if statuses.get(alert.trigger) is not TriggerStatus.ROLLED_BACK:
            yield f"{alert.trigger} is {statuses.get(alert.trigger)} although an alert about it was stored"


def _processes(history: History) -> Iterator[str]:
    """Look for processes that ended by themselves, or were not ready after everything was healed."""
    for end in history.ends:
        if not end.is_expected:
            yield f"{end.process} ended by itself, with code {end.code}"
    for fault in history.faults:
        if fault.ready_ms is None:
            what = "; ".join(f"{name}: {why}" for name, why in fault.unready.items())
            yield f"not ready after {fault.kind} ({fault.target}): {what}"


def _readiness(history: History) -> Iterator[str]:
    """Look for processes that said ready although their host was cut off."""
    for fault in filter(lambda fault: fault.hosts_cut_off, history.faults):
        for answer in history.readiness:
            if _is_lie(answer, fault):
                after = answer.asked_ms - fault.started_ms
                yield f"{answer.process} said ready {after} ms after {answer.host} was cut off"


def _serving(history: History) -> Iterator[str]:
    """Look for edges that had rules, ran on, and were not ready later: nothing is a reason for that."""
    ready = set()
    for answer in history.readiness:
        life = (answer.process, answer.life)
        if answer.is_ready:
            ready.add(life)
        elif life in ready and answer.process.startswith(EDGE):
            yield f"{answer.process} was ready, and was not at {answer.asked_ms}"


def _is_lie(answer: ReadinessAnswer, fault: Fault) -> bool:
    return (
        answer.is_ready
        and answer.host in fault.hosts_cut_off
        and not answer.process.startswith(EDGE)
        and fault.started_ms + NOT_READY_MS < answer.asked_ms
        and answer.answered_ms < fault.healed_ms
    )


def _by_feature(history: History) -> dict[str, list[StoredEvent]]:
    found: dict[str, list[StoredEvent]] = defaultdict(list)
    for entry in history.events:
        found[str(entry.event.feature.key)].append(entry)
    return found


def count_by_law(findings: Iterable[Finding]) -> Counter[str]:
    """Return how many findings each law has."""
    return Counter(finding.law for finding in findings)


#: What is checked → what finds the exceptions.
LAWS: Mapping[str, Callable[[History], Iterator[str]]] = {
    "every answered command is in the log once, no refused one is": _answers,
    "the log is in order: actors, times, one release at a time, no phase early": _log,
    "the log is only appended to": _append_only,
    "no event is older than its command": _times,
    "a region has what was released there, and only then": _regions,
    "what an edge serves moves forward": _forward,
    "all edges end with what the log says": convergence,
    "releases get on, and alerts take them back": _releases,
    "no process ends by itself, or stays unready": _processes,
    "an edge goes on serving": _serving,
    "ready means able": _readiness,
}
