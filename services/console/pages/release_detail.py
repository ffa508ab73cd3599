"""A release as its page shows it: phases, guardrails, what it changes, and what was done."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import yaml

from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature, PhaseRun, Spec, Trigger
from sluiceway.contracts.guardrails import MetricGuardrail
from sluiceway.contracts.identifiers import feature_of
from sluiceway.contracts.identity import MONITOR
from sluiceway.contracts.measurements import Round, VerdictChanged
from sluiceway.messaging.feature_log import LoggedEvent
from sluiceway.pipelines.segments import Extent, Location, coverage
from sluiceway.trigger_view import describe_omissions, phase_status

from ..backend import ConsoleBackend
from .describe import describe_change, describe_segment
from .diff import ShownLine, diff_lines
from .plots import Plot, plots_of


class CoveredRegion(NamedTuple):
    """A region that a phase covers."""

    name: str
    extent: Extent
    #: Whether all instances that report have applied its rules; None if it was sent none, or none reports.
    confirmed: bool | None


class GuardrailStatus(NamedTuple):
    """A guardrail of a phase, with its measurements."""

    name: str
    status: str
    plots: list[Plot]
    limit: str


class PhaseCard(NamedTuple):
    """A phase of the release."""

    run: PhaseRun
    status: str
    rules: list[str]
    regions: list[CoveredRegion]
    guardrails: list[GuardrailStatus]


class TimelineEntry(NamedTuple):
    """An entry of the log."""

    time_ms: int
    what: str
    phase: str | None
    actor: str
    vouched_by: str | None
    reason: str
    overrode: tuple[str, ...]


class ReleaseChanges(NamedTuple):
    """What a release changes."""

    #: The version that it releases, as JSON.
    candidate: str
    #: One for each change.
    sentences: tuple[str, ...]
    #: Of the YAML of both versions.
    diff: list[ShownLine]


class ReleaseDetail(NamedTuple):
    """A trigger, the feature as of its newest event, and its log, oldest first."""

    feature: Feature
    trigger: Trigger
    #: Who has approved the phase that waits, with a key that was revoked or has expired since.
    lapsed: tuple[str, ...]
    log: list[LoggedEvent]

    @property
    def base(self) -> Spec | None:
        """What was live when it began."""
        return self.log[0].event.feature.base

    @property
    def candidate(self) -> Spec | None:
        """What it releases."""
        return self.log[0].event.feature.candidate


async def release_detail(backend: ConsoleBackend, id_: str) -> ReleaseDetail | None:
    """Return a release, active or ended; None if it does not exist."""
    key = feature_of(id_)
    entry = backend.features.get(key)
    if entry is None:
        return None
    log = [logged for logged in await backend.log.read_history(key) if _is_about(logged.event, id_)]
    if not log:
        return None
    newest = entry.event.feature
    is_newest = newest.trigger is not None and newest.trigger.id == id_
    feature = newest if is_newest else log[-1].event.feature
    counted = backend.counted(feature)
    assert feature.trigger
    assert counted.trigger
    counting = counted.trigger.current_run.approvals
    lapsed = (given for given in feature.trigger.current_run.approvals if given not in counting)
    return ReleaseDetail(counted, counted.trigger, tuple(given.actor_id for given in lapsed), log)


def _is_about(event: FeatureEvent, id_: str) -> bool:
    trigger = event.feature.trigger
    return event.phase_id is not None and trigger is not None and trigger.id == id_


def phase_card(
    backend: ConsoleBackend, trigger: Trigger, run: PhaseRun, rounds: Sequence[Round]
) -> PhaseCard:
    """Return a phase with the regions that it covers, and its guardrails."""
    return PhaseCard(
        run=run,
        status=phase_status(trigger, run),
        rules=[f"{rule.name}: {describe_segment(rule)}" for rule in run.phase.rules],
        regions=list(_covered(backend, trigger, run)),
        guardrails=list(_guardrails(run, rounds)),
    )


def _covered(backend: ConsoleBackend, trigger: Trigger, run: PhaseRun) -> Iterable[CoveredRegion]:
    key, now = feature_of(trigger.id), backend.clock()
    for region in sorted(backend.documents().regions.values(), key=lambda region: region.name):
        extent = coverage([run.phase], Location.of(region)).extent
        if extent is Extent.NONE:
            continue
        was_sent = run.started_ms is not None
        confirmed = backend.regions.confirmed(region.name, key, now) if was_sent else None
        yield CoveredRegion(region.name, extent, confirmed)


def _guardrails(run: PhaseRun, rounds: Sequence[Round]) -> Iterable[GuardrailStatus]:
    for guardrail in run.phase.guardrails:
        own = [r for r in rounds if (r.phase_id, r.guardrail) == (run.phase.id, guardrail.name)]
        if isinstance(guardrail, MetricGuardrail):
            limit = guardrail.failure_condition or f"not {guardrail.success_condition}"
            status = str(own[-1].verdict) if own else "not measured yet"
            yield GuardrailStatus(guardrail.name, status, plots_of(guardrail, own), f"fails at {limit}")
        else:
            labels = ", ".join(f"{k}={v}" for k, v in guardrail.alert.match_labels.items())
            yield GuardrailStatus(guardrail.name, "waits for alerts", [], f"alerts with {labels}")


def timeline(log: list[LoggedEvent], verdicts: list[VerdictChanged]) -> list[TimelineEntry]:
    """Return the events and verdicts of a release, newest first."""
    events = [
        TimelineEntry(e.time_ms, e.type, e.phase_id, e.actor_id, e.vouched_by, _reason(e), e.overrode)
        for _, e in log
    ]
    changes = [
        TimelineEntry(
            v.time_ms, f"guardrail_{v.verdict}", v.phase_id, MONITOR, None, f"{v.guardrail}: {v.reason}", ()
        )
        for v in verdicts
    ]
    return sorted((*events, *changes), key=lambda entry: entry.time_ms, reverse=True)


def _reason(event: FeatureEvent) -> str:
    return (event.reason or "") + describe_omissions(event.left_out)


def release_changes(base: Spec | None, candidate: Spec | None) -> ReleaseChanges:
    """Return what a release changes; for large versions, this takes some time."""
    return ReleaseChanges(
        candidate=json.dumps(candidate.to_jsonable(), indent=2) if candidate else "",
        sentences=tuple(describe_change(base, candidate)),
        diff=diff_lines(_text(base), _text(candidate)),
    )


def _text(spec: Spec | None) -> str:
    if spec is None:
        return ""
    document = spec.model_dump(mode="json", exclude={"version", "trigger"}, exclude_defaults=True)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
