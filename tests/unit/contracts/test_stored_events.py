"""The bytes of an event: each plan once, no default values; and what the last version reads and wrote."""

import json
from pathlib import Path
from typing import Any

from sluiceway.contracts.commands import ApprovePhase, PauseTrigger, UnpauseTrigger
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import ACTIONS_MAX, Trigger
from tests.support.builders import Ledger, a_phase, a_release, happened

#: `approval_given`, as the last version stored it: with all fields, and each phase in full twice.
LAST_VERSION = Path(__file__).with_name("event_of_last_version.json").read_bytes()
GUARDRAIL = {"name": "errors", "query": "sum(rate(errors[5m]))", "failureCondition": "> 1"}
PHASES = ("dev", "staging", "prod-us-west", "prod-us-east", "prod-eu")
#: What services of the last version read of a pipeline in a trigger: who a phase covers, and its name.
READ_OF_PIPELINE = {"id", "name", "rules"}


def a_guarded_release() -> Ledger:
    return a_release(*(a_phase(name, guardrails=[GUARDRAIL]) for name in PHASES))


def trigger_of(event: FeatureEvent) -> Trigger:
    assert event.feature.trigger
    return event.feature.trigger


def stored_trigger(event: FeatureEvent) -> dict[str, Any]:
    trigger: dict[str, Any] = json.loads(event.to_json())["feature"]["trigger"]
    return trigger


def test_a_fresh_release_has_less_than_half_of_the_bytes_of_all_fields() -> None:
    event = a_guarded_release().events[-1]

    assert len(event.to_json()) < event.full_size * 0.4


def test_a_release_with_all_its_actions_has_less_than_six_tenths_of_them() -> None:
    ledger = a_guarded_release()
    for _ in range(ACTIONS_MAX):
        happened(ledger.act(PauseTrigger))
        happened(ledger.act(UnpauseTrigger))

    event = ledger.events[-1]

    assert len(trigger_of(event).actions) > ACTIONS_MAX
    assert len(event.to_json()) < event.full_size * 0.6


def test_a_guardrail_is_stored_once() -> None:
    text = a_release(a_phase("dev", guardrails=[GUARDRAIL])).events[-1].to_json()

    assert text.count(b"sum(rate(errors[5m]))") == 1


def test_what_is_stored_is_read_as_it_was_and_is_in_memory_once() -> None:
    ledger = a_release(
        a_phase("dev", guardrails=[GUARDRAIL], approvals={"count": 2}), a_phase("eu", bake_ms=0)
    )
    happened(ledger.act(ApprovePhase, actor="bob"))
    event = ledger.events[-1]

    read = FeatureEvent.model_validate_json(event.to_json(), extra="ignore")

    assert read == event
    assert read.model_dump_json() == event.model_dump_json(), "what APIs and replies say of it is the same"
    trigger = trigger_of(read)
    assert all(run.phase is phase for run, phase in zip(trigger.phases, trigger.pipeline.phases, strict=True))


def test_an_event_of_the_last_version_is_read_as_it_was_stored() -> None:
    event = FeatureEvent.model_validate_json(LAST_VERSION, extra="ignore")

    assert event.model_dump_json().encode() == LAST_VERSION.strip()
    assert FeatureEvent.model_validate_json(event.to_json()) == event


def test_an_event_tells_the_last_version_all_by_which_it_decides_and_projects() -> None:
    event = FeatureEvent.model_validate_json(LAST_VERSION)

    trigger, full = (
        stored_trigger(event),
        event.model_dump(mode="json", exclude_defaults=True)["feature"]["trigger"],
    )

    assert [run["phase"] for run in trigger["phases"]] == [run["phase"] for run in full["phases"]]
    assert [
        {name: phase[name] for name in READ_OF_PIPELINE} for phase in full["pipeline"]["phases"]
    ] == trigger["pipeline"]["phases"]


def test_a_pipeline_without_the_phases_of_its_runs_stays_as_it_is() -> None:
    event = a_guarded_release().events[-1]
    trigger = trigger_of(event)
    pipeline = trigger.pipeline.model_copy(update={"phases": trigger.pipeline.phases[:1]})
    without_plan = trigger.model_copy(update={"pipeline": pipeline})

    read = Trigger.model_validate_json(without_plan.to_json())

    assert read == without_plan
