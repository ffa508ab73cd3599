"""Reading events whose plan is known: the same event as without, and the plan in memory once."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sluiceway.contracts.commands import AbortTrigger, ApprovePhase, PauseTrigger, SkipPhase
from sluiceway.contracts.event_reader import PLANS_BYTES_MAX, EventReader
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Trigger
from tests.support.builders import Ledger, a_phase, a_release, happened

LAST_VERSION = Path(__file__).with_name("event_of_last_version.json").read_bytes()
GUARDRAIL = {"name": "errors", "query": "sum(rate(errors[5m]))", "failureCondition": "> 1"}


def a_release_with_everything() -> Ledger:
    ledger = a_release(
        a_phase("dev", guardrails=[GUARDRAIL], approvals={"count": 2}),
        a_phase("eu"),
        a_phase("all", bake_ms=0),
    )
    happened(ledger.act(ApprovePhase, actor="bob"))
    happened(ledger.act(ApprovePhase, actor="eve"))
    happened(ledger.act(PauseTrigger))
    happened(ledger.act(SkipPhase))
    happened(ledger.act(AbortTrigger, reason="wrong"))
    return ledger


EVENT = a_release_with_everything().events[-1].to_json()


def plain(data: bytes) -> FeatureEvent:
    return FeatureEvent.model_validate_json(data, extra="ignore")


def outcome(read: Any, data: bytes) -> str:
    """Return what is read as JSON, or the places and types of the errors."""
    try:
        return str(read(data).model_dump_json())
    except ValidationError as error:
        return repr([(each["loc"], each["type"], each["msg"]) for each in error.errors()])


def with_known_plan(*data: bytes) -> EventReader:
    reader = EventReader()
    for each in data:
        reader.read(each)
    return reader


def trigger_of(event: FeatureEvent) -> Trigger:
    assert event.feature.trigger
    return event.feature.trigger


def changed(data: bytes, change: Any) -> bytes:
    document = json.loads(data)
    change(document["feature"]["trigger"])
    return json.dumps(document).encode()


def plan_bytes(data: bytes) -> int:
    trigger = json.loads(data)["feature"]["trigger"]
    parts = (trigger["pipeline"], *(run["phase"] for run in trigger["phases"]))
    return sum(len(json.dumps(part, separators=(",", ":"))) for part in parts)


def test_every_event_is_the_same_once_its_plan_is_known() -> None:
    events = [*a_release_with_everything().events, plain(LAST_VERSION)]
    texts = [data for event in events for data in (event.to_json(), event.model_dump_json().encode())]
    reader = with_known_plan(*texts)

    read = [reader.read(data) for data in texts]

    assert read == [plain(data) for data in texts]
    assert [event.model_dump_json() for event in read] == [plain(data).model_dump_json() for data in texts]
    assert [event.to_json() for event in read] == [plain(data).to_json() for data in texts]


def test_releases_through_the_same_pipeline_have_its_plan_in_memory_once() -> None:
    event = a_release(a_phase("dev", guardrails=[GUARDRAIL]), a_phase("eu")).events[-1].to_json()
    other = event.replace(b"checkout", b"basket")
    reader = with_known_plan(event)

    first, second = trigger_of(reader.read(event)), trigger_of(reader.read(other))

    assert (first.id, second.id) == ("gate.checkout.1", "gate.basket.1")
    assert first.pipeline is second.pipeline
    assert all(a.phase is b.phase for a, b in zip(first.phases, second.phases, strict=True))
    assert all(a.phase is b for a, b in zip(first.phases, second.pipeline.phases, strict=True))


def test_a_plan_that_differs_in_anything_is_another_one() -> None:
    reader = with_known_plan(EVENT)
    longer = changed(EVENT, lambda trigger: trigger["phases"][0]["phase"].update(timeIntervalMs=7))

    trigger = trigger_of(reader.read(longer))

    assert trigger.phases[0].phase.time_interval_ms == 7
    assert reader.read(EVENT) == plain(EVENT)


@pytest.mark.parametrize(
    "change",
    [
        lambda trigger: trigger.update(pipeline=0),
        lambda trigger: trigger["phases"][0].update(phase=0),
        lambda trigger: trigger["phases"][0].update(phase=True),
        lambda trigger: trigger["phases"].append({}),
        lambda trigger: trigger.update(phases=[]),
        lambda trigger: trigger.update(phases=[None]),
        lambda trigger: trigger.update(phases={}),
        lambda trigger: trigger.update(phases=trigger["phases"] * 60),
        lambda trigger: trigger["pipeline"].update(phases=[]),
        lambda trigger: trigger["pipeline"].update(unknown=1),
        lambda trigger: trigger.update(actions=None),
        lambda trigger: trigger.update(unknown={"phase": 1}),
        lambda trigger: trigger.pop("pipeline"),
    ],
)
def test_whatever_a_trigger_holds_is_read_as_without_a_known_plan(change: Any) -> None:
    data = changed(EVENT, change)
    reader = with_known_plan(EVENT)

    found = [outcome(reader.read, data) for _ in range(2)]

    assert found == [outcome(plain, data)] * 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"feature":1}',
        b'{"feature":{"trigger":null}}',
        b'{"feature":{"trigger":{"pipeline":1,"phases":[{"phase":2}]}}}',
        b'{"feature":{"trigger":{"phases":' + b"[" * 5_000 + b"]" * 5_000 + b"}}}",
        EVENT.replace(b'"reason":"wrong"', b'"reason":"\xff"'),
        EVENT.replace(b'"reason":"wrong"', b'"reason":"\\ud800"'),
        EVENT.replace(b'"reason":"wrong"', b'"reason":"one","reason":"two"'),
        EVENT.replace(b'"trigger":{', b'"trigger":null,"tri\\u0067ger":{', 1),
        EVENT.replace(b'"reason":"wrong"', b'"alert":{"big":123456789012345678901234567890,"nan":NaN}'),
        EVENT.replace(b'"reason":"wrong"', b'"alert":{"phase":{"id":"dev"},"pipeline":0}'),
        EVENT + b" x",
        b" " + EVENT + b"\n",
        a_release(a_phase("dev")).events[0].to_json(),
    ],
)
def test_whatever_is_stored_is_read_as_without_a_known_plan(data: bytes) -> None:
    reader = with_known_plan(EVENT)

    found = [outcome(reader.read, data) for _ in range(2)]

    assert found == [outcome(plain, data)] * 2


@given(st.integers(0, len(EVENT) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_damaged_events_are_read_as_without_a_known_plan(place: int, instead: bytes, length: int) -> None:
    data = EVENT[:place] + instead + EVENT[place + length :]

    assert outcome(with_known_plan(EVENT).read, data) == outcome(plain, data)


def test_plans_beyond_the_bound_are_parsed_with_each_event() -> None:
    texts = [a_release(a_phase("dev"), a_phase(name)).events[-1].to_json() for name in ("eu", "us")]
    small, none = EventReader(plan_bytes(texts[0])), EventReader(plan_bytes(texts[0]) - 1)

    once, twice = [[trigger_of(reader.read(texts[0])) for _ in range(2)] for reader in (small, none)]
    small.read(texts[1])
    again = trigger_of(small.read(texts[0]))

    assert once[0].pipeline is once[1].pipeline
    assert twice[0].pipeline is not twice[1].pipeline
    assert again.pipeline is not once[0].pipeline, "the plan that was used last is the one that is known"
    assert again == once[0]
    assert 100 * len(EVENT) < PLANS_BYTES_MAX
