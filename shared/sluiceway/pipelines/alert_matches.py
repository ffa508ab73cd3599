"""Finds the release that an alert is about, and the action that follows."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..contracts.alerts import Alert
from ..contracts.catalogue import Region
from ..contracts.feature import Feature, Trigger, TriggerStatus
from ..contracts.guardrails import AlertGuardrail, OnFailure
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
    """A release that an alert is about, the action, and the alert guardrail that asks for it, if one does."""

    trigger: Trigger
    action: OnFailure = OnFailure.ROLLBACK
    phase: str | None = None
    guardrail: str | None = None


def match_alert(
    alert: Alert, feature: Feature, regions: Mapping[str, Region], now_ms: int
) -> MatchedTrigger | None:
    """Return the active or observed release of a feature if the alert is about it, else None.

    The alert must name the feature or the pipeline, or have the labels of an alert guardrail of a
    released phase. Each label that names something must match, and its region must lie in a segment that
    is released. Of several guardrails, the one with the strongest action counts.
    """
    trigger = feature.watched_trigger(now_ms)
    if trigger is None or not trigger.released:
        return None
    if not (_labels_match(alert.labels, feature, trigger) and _is_released(alert.labels, trigger, regions)):
        return None
    if any(label in alert.labels for label in (GATE, DYNAMIC_CONFIG, PIPELINE)):
        return MatchedTrigger(trigger)
    return min(
        _guardrail_matches(alert, trigger),
        key=lambda matched: STRONGEST_FIRST.index(matched.action),
        default=None,
    )


def _labels_match(labels: Mapping[str, str], feature: Feature, trigger: Trigger) -> bool:
    """Return whether the feature and the pipeline that the labels name, if they do, are these."""
    named = {label: labels[label] for label in (GATE, DYNAMIC_CONFIG) if label in labels}
    if named and named.get(feature.kind) != feature.name:
        return False
    return PIPELINE not in labels or labels[PIPELINE] in (trigger.pipeline.id, trigger.pipeline.name)


def _is_released(labels: Mapping[str, str], trigger: Trigger, regions: Mapping[str, Region]) -> bool:
    """Return whether the region in the labels has the candidate; true if they name no region."""
    if REGION not in labels:
        return True
    matches = _matching_regions(labels[REGION], regions.values())
    if trigger.status is TriggerStatus.COMPLETED:
        return bool(matches)
    return any(coverage(trigger.released, Location.of(r)).extent is not Extent.NONE for r in matches)


def _guardrail_matches(alert: Alert, trigger: Trigger) -> Iterator[MatchedTrigger]:
    labels = {ALERT_NAME: alert.name, **alert.labels}
    for phase in trigger.released:
        for guardrail in phase.guardrails:
            if isinstance(guardrail, AlertGuardrail):
                wanted = guardrail.alert.match_labels
                if all(labels.get(label) == value for label, value in wanted.items()):
                    yield MatchedTrigger(trigger, guardrail.on_failure, phase.id, guardrail.name)


def _matching_regions(label: str, regions: Iterable[Region]) -> list[Region]:
    """Return the regions with this name, or with this value of the attribute `region`."""
    return [region for region in regions if label in (region.name, region.attributes.get(REGION))]
