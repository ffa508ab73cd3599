"""What a region receives."""

from typing import Any

from sluiceway.contracts.commands import AbortTrigger, AdvancePhase, RollBackTrigger
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.evaluation.results import Reason
from sluiceway.evaluation.rule_set import RuleSet
from sluiceway.pipelines.projection import checksum, project
from sluiceway.pipelines.segments import Extent, Location
from sluiceway.pipelines.simulation import simulate_coverage
from tests.support.builders import (
    BAKE,
    EVERYONE,
    PROCESS,
    Ledger,
    a_config,
    a_gate,
    a_phase,
    a_pipeline,
    a_region,
    a_release,
)

DEV = Location("development", {})
US_WEST = Location("production", {"region": "us-west"})
US_EAST = Location("production", {"region": "us-east"})
WEST: dict[str, Any] = {
    "conditions": [{"type": "custom_field", "field": "region", "operator": "any", "targetValue": ["us-west"]}]
}
PRO = {"type": "custom_field", "field": "tier", "operator": "any", "targetValue": ["Pro"]}


def document(event: FeatureEvent, location: Location, revision: int = 7) -> RuleDocument:
    found = project(event, revision, location)
    assert found
    return found


def test_an_uncovered_region_gets_the_base_and_nothing_of_the_candidate() -> None:
    ledger = a_release(a_phase("dev"), a_phase("west", environments=["production"], **WEST))

    rules = document(ledger.events[-1], US_WEST)

    assert "everyone" not in rules.model_dump_json()
    assert "gate.checkout.1" not in rules.model_dump_json()


def test_a_covered_region_holds_the_candidate_as_its_plain_spec() -> None:
    ledger = a_release(a_phase("dev"))

    rules = document(ledger.events[-1], DEV)

    assert list(rules.specs.feature_gates) == ["checkout"]
    assert not rules.specs.overrides
    assert (rules.trigger, rules.revision) == ("gate.checkout.1", 7)


def test_a_phase_with_a_region_condition_covers_that_region_alone() -> None:
    ledger = a_release(a_phase("west", environments=["production"], **WEST))

    assert document(ledger.events[-1], US_WEST).trigger == "gate.checkout.1"
    assert document(ledger.events[-1], US_EAST).trigger is None


def test_a_partly_covered_region_holds_both_with_an_override_between_them() -> None:
    ledger = a_release(a_phase("pro", conditions=[PRO]))
    rules = RuleSet(PROCESS)

    rules.apply(document(ledger.events[-1], DEV))

    assert rules.gate({"custom": {"tier": "pro"}}, "checkout").value is True
    assert rules.gate({"custom": {"tier": "pro"}}, "checkout").trigger == "gate.checkout.1"
    assert rules.gate({"custom": {"tier": "free"}}, "checkout").value is False
    assert rules.gate({"custom": {"tier": "free"}}, "checkout").trigger is None


def test_a_partly_covered_region_without_a_base_gives_others_nothing() -> None:
    ledger = a_release(a_phase("pro", conditions=[PRO]))
    first = ledger.events[-1].model_copy(update={"feature": ledger.feature.changed(base=None)})
    rules = RuleSet(PROCESS)

    rules.apply(document(first, DEV))

    assert rules.gate({"custom": {"tier": "Pro"}}, "checkout").value is True
    assert rules.gate({}, "checkout").reason is Reason.UNRECOGNIZED


def test_earlier_phases_stay_covered() -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod", environments=["production"]))

    ledger.act(AdvancePhase, after_ms=BAKE)

    assert {document(ledger.events[-1], location).trigger for location in (DEV, US_EAST)} == {
        "gate.checkout.1"
    }


def test_regions_that_had_the_candidate_get_the_base_and_the_reverted_trigger() -> None:
    for command in (AbortTrigger, RollBackTrigger):
        ledger = a_release(a_phase("dev"), a_phase("prod", environments=["production"]))

        ledger.act(command)

        in_dev, in_west = (document(ledger.events[-1], location) for location in (DEV, US_WEST))
        assert (in_dev.reverted, in_west.reverted) == ("gate.checkout.1", None)
        assert in_dev.specs == in_west.specs


def test_a_first_version_that_was_taken_back_leaves_an_empty_document() -> None:
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    ledger.act(AbortTrigger)

    assert not document(ledger.events[-1], DEV).specs.feature_gates
    assert project(ledger.events[-1], 7, US_WEST) is None


def test_completion_changes_nothing_in_regions_that_have_the_candidate() -> None:
    ledger = a_release(a_phase("dev"))
    before = checksum(document(ledger.events[-1], DEV))

    ledger.act(AdvancePhase, after_ms=BAKE)

    assert checksum(document(ledger.events[-1], DEV)) == before


def test_an_archived_feature_is_in_no_region() -> None:
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE))
    event = ledger.events[-1].model_copy(update={"feature": ledger.feature.changed(archived=True)})

    assert project(event, 7, DEV) is None


def test_rules_for_other_environments_and_regions_are_left_out() -> None:
    ledger = Ledger()
    ledger.save(
        a_config(
            {"n": 0},
            {"name": "prod", "environments": ["production"], "returnValue": {"n": 1}},
            {"name": "west", "returnValue": {"n": 2}, **WEST},
            {"name": "pro", "conditions": [PRO], "returnValue": {"n": 3}},
        )
    )

    def names(location: Location) -> list[str]:
        (spec,) = document(ledger.events[-1], location).specs.dynamic_configs.values()
        return [rule.name for rule in spec.rules]

    assert names(DEV) == ["west", "pro"], "without the attribute, the user may have it"
    assert names(US_EAST) == ["prod", "pro"]
    assert names(US_WEST) == ["prod", "west", "pro"]


def test_a_disabled_feature_is_served_without_rules() -> None:
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE, isEnabled=False))
    rules = RuleSet(PROCESS)

    rules.apply(document(ledger.events[-1], DEV))

    assert rules.gate({"userID": "u"}, "checkout")[:3] == (False, "disabled", Reason.DISABLED)


def test_a_simulation_accumulates_phases() -> None:
    pipeline = a_pipeline(
        a_phase("dev"),
        a_phase("pro", environments=["production"], conditions=[PRO]),
        a_phase("west", environments=["production"], **WEST),
    )
    regions = [a_region("dev"), a_region("us-west", "production", region="us-west")]

    assert simulate_coverage(pipeline, regions) == {
        "dev": {"dev": Extent.FULLY, "us-west": Extent.NONE},
        "pro": {"dev": Extent.FULLY, "us-west": Extent.PARTLY},
        "west": {"dev": Extent.FULLY, "us-west": Extent.FULLY},
    }
