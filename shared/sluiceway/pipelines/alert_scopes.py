"""Whether the source of an alert may take a release back."""

from collections.abc import Mapping

from ..contracts.alert_sources import AlertSource
from ..contracts.catalogue import Region
from ..contracts.feature import Trigger
from ..contracts.identifiers import feature_of
from .alert_matches import REGION, matching_regions


def unlimited(name: str) -> AlertSource:
    """Return the scope of a source that has no document, and needs none."""
    return AlertSource(name=name)


def is_in_scope(
    source: AlertSource | None, labels: Mapping[str, str], trigger: Trigger, regions: Mapping[str, Region]
) -> bool:
    """Return whether a source may take a release back by an alert with these labels. None: it may nothing."""
    if source is None:
        return False
    return (
        (source.pipelines is None or trigger.pipeline.id in source.pipelines)
        and (source.features is None or str(feature_of(trigger.id)) in source.features)
        and (source.regions is None or _names_only(source.regions, labels, regions))
    )


def _names_only(allowed: tuple[str, ...], labels: Mapping[str, str], regions: Mapping[str, Region]) -> bool:
    """Return whether the labels name a region, and no region that is not allowed."""
    named = matching_regions(labels[REGION], regions.values()) if REGION in labels else []
    return bool(named) and all(region.name in allowed for region in named)
