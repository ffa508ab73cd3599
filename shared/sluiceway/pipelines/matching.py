"""Which active trigger an alert is about."""

from collections.abc import Iterable, Mapping

from ..contracts.alerts import Alert
from ..contracts.catalogue import Region
from ..contracts.feature import Feature
from .segments import Extent, Place, coverage

#: Labels that name a feature, a pipeline, a place.
GATE, DYNAMIC_CONFIG, PIPELINE, REGION = "gate", "dynamic_config", "pipeline", "region"


def matches(alert: Alert, feature: Feature, regions: Mapping[str, Region]) -> bool:
    """Say whether an alert is about the active trigger of a feature.

    It must name the feature or the pipeline; each label that it has must agree; and its region,
    where it names one, must lie in a segment that is released already.
    """
    trigger = feature.active_trigger
    if trigger is None or not trigger.released:
        return False
    labels = alert.labels
    named = {label: labels[label] for label in (GATE, DYNAMIC_CONFIG) if label in labels}
    if not named and PIPELINE not in labels:
        return False
    if named and named.get(feature.kind) != feature.name:
        return False
    if PIPELINE in labels and labels[PIPELINE] not in (trigger.pipeline.id, trigger.pipeline.name):
        return False
    return REGION not in labels or any(
        coverage(trigger.released, Place.of(region)).extent is not Extent.NONE
        for region in _named(labels[REGION], regions.values())
    )


def _named(label: str, regions: Iterable[Region]) -> list[Region]:
    """Return the regions of that name, or whose attribute `region` says so."""
    return [region for region in regions if label in (region.name, region.attributes.get(REGION))]
