"""Values of dynamic configs that official SDKs cannot read are neither saved nor published."""

from typing import Any

from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.json_depth import DEPTH_MAX
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.projection import full_document
from sluiceway.pipelines.publish_checks import document_errors
from sluiceway.pipelines.segments import Location
from sluiceway.pipelines.spec_changes import spec_of
from tests.support.builders import EVERYONE, NOW, a_catalogue, a_config, happened, refused


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def save(default: dict[str, Any], rule: dict[str, Any]) -> SaveFeature:
    return SaveFeature(actor="ada", feature=a_config(default, {**EVERYONE, "returnValue": rule}))


def test_a_value_of_120_levels_is_saved_and_a_deeper_one_is_refused_with_the_number() -> None:
    happened(decide(None, save(nested(DEPTH_MAX), nested(DEPTH_MAX)), NOW, a_catalogue()))
    refusal = refused(decide(None, save(nested(121), nested(150)), NOW, a_catalogue()))

    assert refusal.code is RefusalCode.INVALID
    assert "defaultValue is nested 121 levels deep; at most 120 are allowed" in refusal.message
    assert "rule 'everyone': returnValue is nested 150 levels deep" in refusal.message


def test_a_deeper_value_that_is_stored_is_read_and_not_published() -> None:
    document = a_config(nested(150))
    feature = Feature(kind=document.key.kind, name="limits", salt="limits", base=spec_of(document, 1, None))
    stored = FeatureEvent(
        type=EventType.FEATURE_CHANGED, time_ms=NOW, actor_id="ada", command_id="c", feature=feature
    )

    event = FeatureEvent.model_validate_json(stored.to_json())
    errors = document_errors(full_document(event, 1, Location("production", {})))

    assert event == stored
    assert errors == [
        "a value of limits is nested 150 levels deep; at most 120 are allowed: official SDKs fail"
    ]
