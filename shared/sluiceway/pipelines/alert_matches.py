"""Which release an alert is about, and what it shall do to it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..contracts.alerts import Alert
from ..contracts.catalogue import Region
from ..contracts.feature import Feature, Trigger, TriggerStatus
from ..contracts.guardrails import AlertGuardrail, OnFailure
from .segments import Extent, Location, coverage

#: Labels that name a feature, a pipeline, a place; and the alert itself, for guardrails.
GATE, DYNAMIC_CONFIG, PIPELINE, REGION, ALERT_NAME = (
    "gate",
    "dynamic_config",
    "pipeline",
    "region",
    "alertname",
)
#: From the action that goes furthest.
STRONGEST_FIRST = (OnFailure.ROLLBACK, OnFailure.PAUSE, OnFailure.NOTIFY)


class MatchedTrigger(NamedTuple):
    """An alert is about a release: what follows, and by which guardrail, if by one."""

    trigger: Trigger
    action: OnFailure = OnFailure.ROLLBACK
    phase: str | None = None
    guardrail: str | None = None


def match_alert(
    alert: Alert, feature: Feature, regions: Mapping[str, Region], now_ms: int
) -> MatchedTrigger | None:
    """Return what an alert does to the release of a feature that is under way, or observed.

    It must name the feature or the pipeline, or have the labels that a guardrail of a released phase
    asks for. Each label that names something must agree; its region must lie in a segment that is
    released already. Of several guardrails, the one that goes furthest counts.
    """
    trigger = feature.watched_trigger(now_ms)
    if trigger is None or not trigger.released:
        return None
    if not (_agrees(alert.labels, feature, trigger) and _is_released(alert.labels, trigger, regions)):
        return None
    if any(label in alert.labels for label in (GATE, DYNAMIC_CONFIG, PIPELINE)):
        return MatchedTrigger(trigger)
    return min(_guarded(alert, trigger), key=lambda one: STRONGEST_FIRST.index(one.action), default=None)


def _agrees(labels: Mapping[str, str], feature: Feature, trigger: Trigger) -> bool:
    """Say whether no label names another feature or pipeline."""
    named = {label: labels[label] for label in (GATE, DYNAMIC_CONFIG) if label in labels}
    if named and named.get(feature.kind) != feature.name:
        return False
    return PIPELINE not in labels or labels[PIPELINE] in (trigger.pipeline.id, trigger.pipeline.name)


def _is_released(labels: Mapping[str, str], trigger: Trigger, regions: Mapping[str, Region]) -> bool:
    """Say whether the region that is named, if one is, has the candidate."""
    if REGION not in labels:
        return True
    named = _named(labels[REGION], regions.values())
    if trigger.status is TriggerStatus.COMPLETED:
        return bool(named)
    return any(coverage(trigger.released, Location.of(r)).extent is not Extent.NONE for r in named)


def _guarded(alert: Alert, trigger: Trigger) -> Iterator[MatchedTrigger]:
    labels = {ALERT_NAME: alert.name, **alert.labels}
    for phase in trigger.released:
        for guardrail in phase.guardrails:
            if isinstance(guardrail, AlertGuardrail):
                wanted = guardrail.alert.match_labels
                if all(labels.get(label) == value for label, value in wanted.items()):
                    yield MatchedTrigger(trigger, guardrail.on_failure, phase.id, guardrail.name)


def _named(label: str, regions: Iterable[Region]) -> list[Region]:
    """Return the regions of that name, or whose attribute `region` says so."""
    return [region for region in regions if label in (region.name, region.attributes.get(REGION))]
