"""A feature with the fields of Statsig's Console API and a few of our own: the command line's JSON."""

from typing import Any

from pydantic import JsonValue

from .contracts.feature import ConfigRule, Feature, GateRule, Spec
from .contracts.identifiers import FeatureKind
from .contracts.models import WireModel

#: The word for a feature of each kind.
NOUNS = {FeatureKind.GATE: "gate", FeatureKind.DYNAMIC_CONFIG: "config", FeatureKind.SEGMENT: "segment"}


class FeatureSummary(WireModel):
    """A feature: what is live, or, if nothing was ever live, what is being released."""

    id: str
    name: str
    is_enabled: bool
    description: str
    id_type: str
    #: Of the live version only, as are those below.
    rules: tuple[GateRule | ConfigRule, ...]
    release_pipeline_id: str | None
    version: int | None
    #: See `feature_status`.
    status: str
    trigger_id: str | None
    candidate: Spec | None


class ConfigSummary(FeatureSummary):
    """A dynamic config."""

    default_value: JsonValue


class SegmentSummary(FeatureSummary):
    """A segment."""

    ids: tuple[str, ...]


def feature_summary(feature: Feature) -> FeatureSummary:
    """Return the summary of a feature of any kind."""
    base, spec = feature.base, feature.base or feature.candidate
    fields: dict[str, Any] = {
        "id": feature.name,
        "name": feature.name,
        "is_enabled": spec.is_enabled if spec else False,
        "description": spec.description if spec else "",
        "id_type": spec.id_type if spec else "userID",
        "rules": base.rules if base else (),
        "release_pipeline_id": feature.release_pipeline_id,
        "version": base.version if base else None,
        "status": feature_status(feature),
        "trigger_id": feature.active_trigger.id if feature.active_trigger else None,
        "candidate": feature.candidate,
    }
    match feature.kind:
        case FeatureKind.DYNAMIC_CONFIG:
            return ConfigSummary(**fields, default_value=base.default_value if base else {})
        case FeatureKind.SEGMENT:
            return SegmentSummary(**fields, ids=base.ids if base else ())
        case _:
            return FeatureSummary(**fields)


def feature_status(feature: Feature) -> str:
    """Return archived, releasing, live, or new (it was never live)."""
    if feature.archived:
        return "archived"
    if feature.active_trigger:
        return "releasing"
    return "live" if feature.base else "new"
