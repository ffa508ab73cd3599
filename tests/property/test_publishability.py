"""What saving looks at is at least as large as everything that the release then publishes."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    RollBackTrigger,
    RollOutTrigger,
    SkipPhase,
    TriggerCommand,
)
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.pipelines.message_limits import DOCUMENT_BYTES_MAX, SAVED_DOCUMENT_BYTES_MAX
from sluiceway.pipelines.projection import project
from sluiceway.pipelines.publishability import unpublishable
from tests.support.builders import BAKE, EVERYONE, Ledger, a_catalogue, a_gate

from .strategies import PIPELINES, REGIONS

STEPS: tuple[type[TriggerCommand], ...] = (
    *(AdvancePhase, ApprovePhase, SkipPhase) * 4,
    AbortTrigger,
    RollBackTrigger,
    RollOutTrigger,
)
CATALOGUE = [
    Region(name=name, environment=place.environment, attributes=dict(place.attributes))
    for name, place in REGIONS.items()
]
#: What later events may add to a document; saving leaves more than that.
MARGIN = 150
assert MARGIN < DOCUMENT_BYTES_MAX - SAVED_DOCUMENT_BYTES_MAX
WHERE: dict[str, Any] = {
    "name": "where",
    "conditions": [{"type": "custom_field", "field": "region", "operator": "any", "targetValue": ["eu"]}],
}


@given(pipeline=PIPELINES, steps=st.lists(st.sampled_from(STEPS), max_size=12), is_first=st.booleans())
def test_a_release_that_would_publish_too_large_a_document_is_refused_when_it_is_saved(
    pipeline: dict[str, Any], steps: list[type[TriggerCommand]], is_first: bool
) -> None:
    ledger = Ledger(a_catalogue(Pipeline.model_validate(pipeline)))
    if not is_first:
        ledger.save(a_gate({**EVERYONE, "name": "before", "environments": ["production"]}))
    ledger.save(a_gate(WHERE, {**EVERYONE, "name": "after"}, releasePipelineID="release"))
    saved = ledger.events[:]
    for step in steps:
        ledger.act(step, after_ms=BAKE)
    published = [
        len(document.to_json())
        for event in ledger.events
        for place in REGIONS.values()
        if (document := project(event, 10**15, place))
    ]

    too_little = max(published, default=0) - MARGIN - 1

    assert not published or any(unpublishable(event, (), CATALOGUE, too_little) for event in saved)
