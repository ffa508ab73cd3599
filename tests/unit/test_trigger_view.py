"""State → the Console API's fields."""

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    ArchiveFeature,
    PauseTrigger,
    RollOutTrigger,
    SkipPhase,
)
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.feature_summary import feature_status, feature_summary
from sluiceway.trigger_view import phase_status, trigger_view
from tests.support.builders import BAKE, NOW, Ledger, a_config, a_gate, a_phase, a_release


def test_a_gate_has_the_fields_of_the_console_api_and_where_it_stands() -> None:
    ledger = a_release()

    view = feature_summary(ledger.feature).to_jsonable()

    assert view | {"candidate": None} == {
        "id": "checkout",
        "name": "checkout",
        "isEnabled": True,
        "description": "",
        "idType": "userID",
        "rules": [],
        "releasePipelineID": "release",
        "version": 1,
        "status": "releasing",
        "triggerID": "gate.checkout.1",
        "candidate": None,
    }
    assert view["candidate"]["rules"][0]["name"] == "everyone"


def test_a_config_shows_the_value_that_is_live() -> None:
    ledger = Ledger()
    ledger.save(a_config({"limit": 1}))

    assert feature_summary(ledger.feature).to_jsonable()["defaultValue"] == {"limit": 1}
    assert "defaultValue" not in feature_summary(a_release().feature).to_jsonable()


def test_the_status_of_a_feature_follows_its_life() -> None:
    ledger = Ledger()

    ledger.save(a_gate(releasePipelineID="release"))
    assert (feature_status(ledger.feature), feature_summary(ledger.feature).to_jsonable()["version"]) == (
        "releasing",
        None,
    )
    ledger.act(AbortTrigger)
    assert feature_status(ledger.feature) == "new"
    ledger.save(a_gate())
    assert feature_status(ledger.feature) == "live"
    ledger.decide(ArchiveFeature(actor="ada", kind=FeatureKind.GATE, name="checkout"))
    assert feature_status(ledger.feature) == "archived"


def test_a_running_trigger_shows_its_phase_and_when_its_bake_ends() -> None:
    ledger = a_release()

    view = trigger_view(ledger.feature, ledger.trigger).to_jsonable()

    assert (view["id"], view["gateID"], view["status"]) == ("gate.checkout.1", "checkout", "IN_PROGRESS")
    assert "dynamicConfigID" not in view
    assert (view["currentPhase"], view["currentPhaseID"], view["currentPhaseEndTime"]) == (
        "dev",
        "dev",
        NOW + BAKE,
    )
    assert (view["creatorID"], view["createdTime"], view["lastModifierName"]) == ("ada", NOW, "ada")
    assert view["actions"] == [
        {
            "type": "STARTED",
            "timeMs": NOW,
            "phaseID": "dev",
            "actorID": "ada",
            "actorName": "ada",
            "reason": None,
            "overrode": [],
        }
    ]
    assert [(phase["id"], phase["status"]) for phase in view["phases"]] == [
        ("dev", "bakes"),
        ("prod", "not released"),
    ]


def test_an_ended_trigger_has_no_current_phase() -> None:
    ledger = a_release()

    ledger.act(RollOutTrigger, after_ms=1)

    view = trigger_view(ledger.feature, ledger.trigger).to_jsonable()
    assert (view["status"], view["endedTime"]) == ("COMPLETED", NOW + 1)
    assert [view[field] for field in ("currentPhase", "currentPhaseID", "currentPhaseEndTime")] == [None] * 3


def test_each_phase_says_where_it_stands() -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod", review=True), a_phase("eu", review=True))

    assert _phases(ledger) == ["bakes", "not released", "not released"]
    ledger.act(PauseTrigger)
    assert _phases(ledger)[0] == "paused"
    ledger.act(SkipPhase)
    assert _phases(ledger) == ["released", "waits for review", "not released"]
    ledger.act(SkipPhase)
    assert _phases(ledger) == ["released", "skipped, not released", "waits for review"]
    ledger.act(ApprovePhase)
    ledger.act(AdvancePhase, after_ms=BAKE, holds=("no answer of the monitor",))
    assert _phases(ledger)[2] == "held"
    assert trigger_view(ledger.feature, ledger.trigger).to_jsonable()["held"] == ["no answer of the monitor"]


def _phases(ledger: Ledger) -> list[str]:
    return [phase_status(ledger.trigger, run) for run in ledger.trigger.phases]
