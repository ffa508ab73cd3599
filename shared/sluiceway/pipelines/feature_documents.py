"""A feature's live state as the document that its author would write."""

from collections.abc import Mapping
from typing import Any

from ..contracts.feature import DynamicConfig, Feature, FeatureDocument, FeatureGate, Segment
from ..contracts.identifiers import FeatureKind

#: The document that an author writes for a feature of each kind.
DOCUMENT_MODELS: Mapping[FeatureKind, type[FeatureGate | DynamicConfig | Segment]] = {
    FeatureKind.GATE: FeatureGate,
    FeatureKind.DYNAMIC_CONFIG: DynamicConfig,
    FeatureKind.SEGMENT: Segment,
}


def authored_document(feature: Feature) -> FeatureDocument:
    """Return the document that saves `feature` as it is live now.

    A candidate is not part of it. A feature that was never live gets the defaults of its kind.
    """
    spec = feature.base
    fields: dict[str, Any] = {"name": feature.name, "release_pipeline_id": feature.release_pipeline_id}
    if spec:
        fields |= {
            "is_enabled": spec.is_enabled,
            "description": spec.description,
            "id_type": spec.id_type,
            "rules": spec.rules,
        }
    if spec and feature.kind is FeatureKind.DYNAMIC_CONFIG:
        fields["default_value"] = spec.default_value
    if spec and feature.kind is FeatureKind.SEGMENT:
        fields["ids"] = spec.ids
    return DOCUMENT_MODELS[feature.kind].model_validate(fields)
