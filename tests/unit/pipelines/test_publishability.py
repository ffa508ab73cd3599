"""What is refused when it is saved, since some phase could not publish it in some region."""

from dataclasses import replace
from typing import Any

from sluiceway.contracts.commands import RollOutTrigger
from sluiceway.contracts.pipeline import Phase
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines.publishability import unpublishable
from tests.support.builders import (
    EVERYONE,
    Ledger,
    a_catalogue,
    a_gate,
    a_phase,
    a_pipeline,
    a_region,
    an_oversized_event,
    happened,
    refused,
)

PRO = {"type": "custom_field", "field": "tier", "operator": "any", "targetValue": ["pro"]}
WEST = {"type": "custom_field", "field": "region", "operator": "any", "targetValue": ["west"]}
#: The limit of documents in these tests.
BYTES_MAX = 500_000
REGIONS = (a_region("dev"), a_region("west", "production", region="west"))


def rules(count: int, tag: str = "a", conditions: int = 50) -> list[dict[str, Any]]:
    """Return rules whose document has about 150 bytes for each condition."""
    return [
        {
            "name": f"{tag}{n}",
            "conditions": [
                {"type": "email", "operator": "eq", "targetValue": f"{tag}{n}-{m}"} for m in range(conditions)
            ],
        }
        for n in range(count)
    ]


def a_ledger(*phases: Phase) -> Ledger:
    catalogue = a_catalogue(a_pipeline(*phases))
    return Ledger(replace(catalogue, regions={region.name: region for region in REGIONS}))


def found(ledger: Ledger, bytes_max: int) -> str:
    """Return why what was saved last could not be published if documents had so many bytes at most."""
    catalogue = ledger.catalogue
    errors = unpublishable(ledger.events[-1], catalogue.environments, catalogue.regions.values(), bytes_max)
    return "; ".join(errors.errors) if errors else ""


def test_a_release_whose_partial_phase_would_be_too_large_is_found_with_numbers() -> None:
    ledger = a_ledger(a_phase("dev"), a_phase("pro", environments=["production"], conditions=[PRO]))
    ledger.save(a_gate(*rules(40)))

    happened(ledger.save(a_gate(*rules(40, "b"), releasePipelineID="release")))

    errors = found(ledger, BYTES_MAX)
    assert "region west, where phase pro releases it to a part of the users" in errors
    assert f"bytes; at most {BYTES_MAX} are allowed" in errors


def test_a_release_of_the_same_size_to_whole_regions_is_allowed() -> None:
    ledger = a_ledger(a_phase("dev"), a_phase("west", environments=["production"], conditions=[WEST]))
    ledger.save(a_gate(*rules(40)))

    happened(ledger.save(a_gate(*rules(40, "b"), releasePipelineID="release")))

    assert found(ledger, BYTES_MAX) == ""
    happened(ledger.act(RollOutTrigger))


def test_a_phase_that_covers_everybody_may_be_skipped_so_a_partial_one_after_it_counts() -> None:
    whole = a_phase("west", environments=["production"], review=True)
    ledger = a_ledger(whole, a_phase("pro", environments=["production"], conditions=[PRO]))
    ledger.save(a_gate(*rules(40)))

    happened(ledger.save(a_gate(*rules(40, "b"), releasePipelineID="release")))

    assert "where phase pro" in found(ledger, BYTES_MAX)


def test_a_version_that_is_too_large_alone_is_found_even_at_once() -> None:
    ledger = a_ledger(a_phase("dev"))

    happened(ledger.save(a_gate(*rules(80)), at_once=True))

    assert "environment development, production, staging: the rule document has" in found(ledger, BYTES_MAX)


def test_a_large_version_can_always_be_switched_off() -> None:
    ledger = a_ledger(a_phase("pro", conditions=[PRO]))
    ledger.events.append(an_oversized_event(a_gate(*rules(90))))

    happened(ledger.save(a_gate(*rules(90), releasePipelineID="release", isEnabled=False), at_once=True))


def test_a_phase_whose_stored_conditions_are_refused_now_is_named_before_it_runs() -> None:
    older = {"type": "email", "operator": "older", "targetValue": "x"}
    ledger = a_ledger(a_phase("some", conditions=[older]))
    ledger.save(a_gate())

    refusal = refused(ledger.save(a_gate(EVERYONE, releasePipelineID="release")))

    assert refusal.code is RefusalCode.INVALID
    assert "region dev, where phase some" in refusal.message
    assert "unknown operator 'older'" in refusal.message
