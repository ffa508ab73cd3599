"""Finds the release that an alert is about, and the action that follows."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..contracts.alerts import Alert
from ..contracts.catalogue import Region
from ..contracts.feature import Feature, PhaseRun, Trigger, TriggerStatus
from ..contracts.guardrails import AlertGuardrail, OnFailure
from .alert_times import is_before
from .segments import Extent, Location, coverage

#: Labels that name a feature, a pipeline, a region, and, for guardrails, the alert itself.
GATE, DYNAMIC_CONFIG, PIPELINE, REGION, ALERT_NAME = (
    "gate",
    "dynamic_config",
    "pipeline",
    "region",
    "alertname",
)
#: The strongest action first.
STRONGEST_FIRST = (OnFailure.ROLLBACK, OnFailure.PAUSE, OnFailure.NOTIFY)


class MatchedTrigger(NamedTuple):
    """A release that an alert is about, the action, and the alert guardrail that asks for it, if one does.

    An alert that `is_before` fired before the candidate was out there: it has another cause.
    """

    trigger: Trigger
    is_before: bool
    action: OnFailure = OnFailure.ROLLBACK
    phase: str | None = None
    guardrail: str | None = None


def match_alert(
    alert: Alert, feature: Feature, regions: Mapping[str, Region], now_ms: int, received_ms: int | None = None
) -> MatchedTrigger | None:
    """Return the active or observed release of a feature if the alert is about it, else None.

    The alert must name the feature or the pipeline, or have the labels of an alert guardrail of a
    released phase. Each label that names something must match, and its region must lie in a segment that
    is released. Of several guardrails, the one with the strongest action counts, of those that the alert
    is not before. `received_ms` is the time of its message; absent: it arrived now.
    """
    trigger = feature.watched_trigger(now_ms)
    if trigger is None or not _labels_match(alert.labels, feature, trigger):
        return None
    released_ms = _released_ms(alert.labels, trigger, regions)
    if released_ms is None:
        return None
    received_ms = now_ms if received_ms is None else received_ms
    if names_release(alert):
        return MatchedTrigger(trigger, is_before(alert, received_ms, released_ms))
    return min(
        _guardrail_matches(alert, trigger, released_ms, received_ms),
        key=lambda matched: (matched.is_before, STRONGEST_FIRST.index(matched.action)),
        default=None,
    )


def names_release(alert: Alert) -> bool:
    """Return whether the labels of an alert name a feature or a pipeline."""
    return any(label in alert.labels for label in (GATE, DYNAMIC_CONFIG, PIPELINE))


def _labels_match(labels: Mapping[str, str], feature: Feature, trigger: Trigger) -> bool:
    """Return whether the feature and the pipeline that the labels name, if they do, are these."""
    named = {label: labels[label] for label in (GATE, DYNAMIC_CONFIG) if label in labels}
    if named and named.get(feature.kind) != feature.name:
        return False
    return PIPELINE not in labels or labels[PIPELINE] in (trigger.pipeline.id, trigger.pipeline.name)


def _released_ms(labels: Mapping[str, str], trigger: Trigger, regions: Mapping[str, Region]) -> int | None:
    """Return since when the region in the labels, or any region, has had the candidate; None: it has not."""
    runs = trigger.phases
    if REGION in labels:
        matches = matching_regions(labels[REGION], regions.values())
        if not matches:
            return None
        runs = tuple(run for run in runs if any(_covers(run, region) for region in matches))
    starts = [run.started_ms for run in runs if run.started_ms is not None]
    if trigger.status is TriggerStatus.COMPLETED and trigger.ended_ms is not None:
        starts.append(trigger.ended_ms)
    return min(starts, default=None)


def _covers(run: PhaseRun, region: Region) -> bool:
    return coverage((run.phase,), Location.of(region)).extent is not Extent.NONE


def _guardrail_matches(
    alert: Alert, trigger: Trigger, released_ms: int, received_ms: int
) -> Iterator[MatchedTrigger]:
    """Yield each alert guardrail of a released phase that has the alert's labels; it watches from then on."""
    labels = guardrail_labels(alert)
    for run in trigger.phases:
        if run.started_ms is None:
            continue
        before = is_before(alert, received_ms, max(released_ms, run.started_ms))
        for guardrail in run.phase.guardrails:
            if isinstance(guardrail, AlertGuardrail) and _has_labels(labels, guardrail):
                yield MatchedTrigger(trigger, before, guardrail.on_failure, run.phase.id, guardrail.name)


def guardrail_labels(alert: Alert) -> dict[str, str]:
    """Return the labels of an alert that guardrails see: its name is one of them."""
    return {ALERT_NAME: alert.name, **alert.labels}


def _has_labels(labels: Mapping[str, str], guardrail: AlertGuardrail) -> bool:
    return all(labels.get(label) == value for label, value in guardrail.alert.match_labels.items())


def matching_regions(label: str, regions: Iterable[Region]) -> list[Region]:
    """Return the regions with this name, or with this value of the attribute `region`."""
    return [region for region in regions if label in (region.name, region.attributes.get(REGION))]
