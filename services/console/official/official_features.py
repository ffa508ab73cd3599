"""Gates and dynamic configs as the official API returns them."""

from typing import Any, TypeVar

from pydantic import JsonValue

from sluiceway.contracts.conditions import ConditionType
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import ConfigRule, Feature, GateRule, Spec
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.models import WireModel

from ..creators import Creation


class OfficialFeature(WireModel):
    """What a gate and a config have in common. `triggerID`, `notice` and `ignored` are our own."""

    id: str
    name: str
    is_enabled: bool
    description: str
    id_type: str
    #: In Progress, Launched, Disabled or Archived.
    status: str
    #: Always these: features do not become stale here.
    type: str = "PERMANENT"
    type_reason: str = "NONE"
    tags: list[str] = []
    target_apps: list[str] = []
    release_pipeline_id: str | None
    #: The live version; 0 before the first one is live.
    version: int
    last_modified_time: int
    last_modifier_id: str
    last_modifier_name: str
    #: These three are null if the first event of the feature cannot be read any more.
    created_time: int | None
    creator_id: str | None
    creator_name: str | None
    #: The active release.
    trigger_id: str | None
    #: The pipeline's notice for users who start a release.
    notice: str | None = None
    #: Fields of the request that have no effect here.
    ignored: list[str] = []


class OfficialGate(OfficialFeature):
    """A gate, as it is live."""

    rules: list[GateRule]


class OfficialConfig(OfficialFeature):
    """A dynamic config, as it is live."""

    rules: list[ConfigRule]
    default_value: JsonValue


View = TypeVar("View", bound=OfficialFeature)


def official_feature(
    model: type[View],
    event: FeatureEvent,
    creation: Creation | None,
    *,
    notice: str | None = None,
    ignored: tuple[str, ...] = (),
) -> View:
    """Return a feature as it is live; one that was never live, as it is being released."""
    feature = event.feature
    spec = feature.base or feature.candidate
    trigger = feature.active_trigger
    fields: dict[str, Any] = {
        "id": feature.name,
        "name": feature.name,
        "is_enabled": bool(spec and spec.is_enabled),
        "description": spec.description if spec else "",
        "id_type": spec.id_type if spec else "userID",
        "status": official_status(feature),
        "release_pipeline_id": feature.release_pipeline_id,
        "version": feature.base.version if feature.base else 0,
        "last_modified_time": event.time_ms,
        "last_modifier_id": event.actor_id,
        "last_modifier_name": event.actor_id,
        "created_time": creation.created_ms if creation else None,
        "creator_id": creation.creator if creation else None,
        "creator_name": creation.creator if creation else None,
        "trigger_id": trigger.id if trigger else None,
        "notice": notice,
        "ignored": list(ignored),
        "rules": feature.base.rules if feature.base else (),
    }
    if feature.kind is FeatureKind.DYNAMIC_CONFIG:
        fields["default_value"] = feature.base.default_value if feature.base else {}
    return model(**fields)


def official_status(feature: Feature) -> str:
    """Return In Progress, Launched, Disabled or Archived."""
    spec = feature.base or feature.candidate
    if feature.archived:
        return "Archived"
    if feature.active_trigger:
        return "In Progress"
    if spec is None or not spec.is_enabled:
        return "Disabled"
    return "Launched" if _is_for_everyone(spec) else "In Progress"


def _is_for_everyone(spec: Spec) -> bool:
    first = spec.rules[0] if spec.rules else None
    return (
        first is not None
        and first.pass_percentage == 100
        and not first.environments
        and all(condition.type is ConditionType.PUBLIC for condition in first.conditions)
    )
