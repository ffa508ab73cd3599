"""What authors may write, and how fields are named."""

import functools
import sys
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from importlib import import_module
from pkgutil import iter_modules
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sluiceway import contracts
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import PUBLIC_COMMANDS, AdvancePhase, SaveFeature
from sluiceway.contracts.durations import format_duration, parse_duration
from sluiceway.contracts.envelope import header_safe, rfc3339
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import DynamicConfig
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind, slug
from sluiceway.contracts.models import WireEnum
from sluiceway.contracts.pipeline import Phase, Pipeline
from tests.support.builders import a_phase, a_release, happened

RULES = [{"name": "r"}]


@pytest.mark.parametrize(
    ("text", "length"),
    [("30m", 1_800_000), ("1h30m", 5_400_000), ("500ms", 500), ("1.5s", 1_500), ("2d", 172_800_000)],
)
def test_a_duration_is_read_as_people_write_it(text: str, length: int) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "30", "m", "30x", "1h 30m", "-5m"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)


def test_a_duration_is_formatted_in_its_two_largest_units() -> None:
    assert [format_duration(n) for n in (0, 90_000, 3_723_004, 250)] == ["0s", "1m30s", "1h2m", "250ms"]


def test_fields_are_named_as_in_the_console_api() -> None:
    text = a_release().events[-1].model_dump_json()

    for field in ("releasePipelineID", "timeIntervalMs", "requiredReview", "targetValue", "passPercentage"):
        assert f'"{field}"' in text


def test_an_event_is_the_same_after_a_round_trip_through_json() -> None:
    event = a_release().events[-1]

    assert FeatureEvent.model_validate_json(event.to_json(), extra="ignore") == event


def called_by(action: Callable[[], object]) -> list[str]:
    """Return the names of the functions in Python that are called."""
    called = list[str]()

    def profile(frame: FrameType, what: str, _: object) -> None:
        if what == "call" and frame.f_code.co_filename != functools.__file__:  # its cached properties
            called.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return called


def test_an_event_is_encoded_without_a_call_for_each_word_in_it() -> None:
    event = a_release().events[-1]

    called = called_by(event.to_json)

    assert "to_json" in called
    assert not {"__get__", "value"}.intersection(called)  # what gives the value of a member


def test_an_event_is_decided_and_read_without_a_deep_copy_of_anything() -> None:
    ledger = a_release(a_phase("dev", bake_ms=0), a_phase("prod"))

    deciding = called_by(lambda: happened(ledger.act(AdvancePhase)))
    reading = called_by(lambda: FeatureEvent.model_validate_json(ledger.events[-1].to_json()))

    assert "decide" in deciding
    assert "model_validate_json" in reading
    assert "deepcopy" not in {*deciding, *reading}
    assert deciding.count("model_copy") <= 8, "of the trigger, of its runs and of the feature"


@pytest.mark.parametrize("update", [None, {}, {"reason": "why", "phase_id": None}])
def test_a_copy_is_the_one_that_pydantic_makes(update: dict[str, Any] | None) -> None:
    event = a_release().events[-1]
    text = event.model_dump_json()

    copied, expected = event.model_copy(update=update), BaseModel.model_copy(event, update=update)

    assert copied == expected
    assert copied.model_fields_set == expected.model_fields_set
    assert copied.model_dump_json() == expected.model_dump_json()
    assert copied.feature is event.feature
    assert event.model_dump_json() == text
    with pytest.raises(ValidationError, match="frozen"):
        copied.reason = "other"  # type: ignore[misc]
    assert event.model_copy(deep=True).feature is not event.feature


def test_a_copy_calls_no_code_of_pydantic() -> None:
    event, called = a_release().events[-1], list[str]()

    def profile(frame: FrameType, what: str, _: object) -> None:
        if what == "call":
            called.append(frame.f_code.co_name)

    sys.setprofile(profile)
    event.model_copy(update={"reason": "why"})
    sys.setprofile(None)

    assert called == ["model_copy"]


@given(time_ms=st.integers(-(10**12), 10**14))
def test_a_time_is_written_to_the_millisecond(time_ms: int) -> None:
    text = rfc3339(time_ms)

    assert text.endswith("Z")
    assert len(text) == len("2026-11-23T18:49:36.123Z")
    assert round(datetime.fromisoformat(text).timestamp() * 1_000) == time_ms


def test_words_are_encoded_as_texts_and_read_as_members() -> None:
    event = a_release().events[-1]

    assert event.to_jsonable()["type"] == "trigger_started"
    assert event.model_dump()["type"] is EventType.TRIGGER_STARTED
    assert FeatureEvent.model_validate_json(event.to_json()).type is EventType.TRIGGER_STARTED
    with pytest.raises(ValidationError, match="Input should be"):
        FeatureEvent.model_validate({**event.to_jsonable(), "type": "trigger_postponed"})


def test_every_word_that_is_exchanged_is_encoded_as_a_text() -> None:
    modules = [
        import_module(f"sluiceway.contracts.{module.name}") for module in iter_modules(contracts.__path__)
    ]
    words = {
        member
        for module in modules
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, StrEnum) and member is not StrEnum
    }

    assert len(words) > 15
    assert {word for word in words if not issubclass(word, WireEnum)} == set()


def test_unknown_fields_of_a_newer_event_are_ignored() -> None:
    event = a_release().events[-1]
    text = event.model_dump_json().replace('"requiredReview"', '"fromTheFuture":1,"requiredReview"')

    assert "fromTheFuture" in text
    assert FeatureEvent.model_validate_json(text, extra="ignore") == event


@pytest.mark.parametrize(
    "fields",
    [
        {"timeInterval": "1m", "timeIntervalMs": 1},
        {"timeIntervalMs": -1},
        {"timeInterval": "soon"},
        {"rules": []},
        {"requiredreview": True},
        {"name": ""},
        {"id": "a.b"},
    ],
)
def test_a_phase_that_cannot_work_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Phase.model_validate({"name": "dev", "rules": RULES, **fields})


def test_phase_ids_come_from_names_and_must_differ() -> None:
    pipeline = Pipeline.model_validate({"name": "To prod!", "phases": [{"name": "US West", "rules": RULES}]})

    assert (pipeline.id, pipeline.phases[0].id) == ("To-prod", "US-West")
    assert slug("a  b") == "a-b"
    with pytest.raises(ValidationError, match="duplicate phase id"):
        Pipeline.model_validate({"name": "p", "phases": [{"name": "a", "rules": RULES}] * 2})


@pytest.mark.parametrize("name", ["", "a.b", "*", ">", "a b", "ä", "a" * 101, "a\n"])
def test_a_name_is_one_token_of_a_subject(name: str) -> None:
    with pytest.raises(ValidationError):
        SaveFeature.model_validate({"actor": "a", "feature": {"kind": "FeatureGate", "name": name}})


def test_subjects_are_parsed_to_the_names_in_them() -> None:
    key = FeatureKey(FeatureKind.DYNAMIC_CONFIG, "limits")

    assert subjects.parse_feature(subjects.feature(key)) == key
    assert subjects.parse_rule(subjects.rule("prod-eu", key)) == ("prod-eu", key)
    assert subjects.parse_catalogue(subjects.catalogue("region", "prod-eu")) == ("region", "prod-eu")


@pytest.mark.parametrize("name", ["", "bad=name", "ä", "a$", "a" * 101])
def test_a_subject_with_a_name_that_nothing_can_have_is_invalid(name: str) -> None:
    key = FeatureKey(FeatureKind.GATE, name)

    with pytest.raises(ValueError, match="invalid name"):
        subjects.parse_feature(subjects.feature(key))
    with pytest.raises(ValueError, match="invalid name"):
        subjects.parse_rule(subjects.rule("dev", key))
    with pytest.raises(ValueError, match="invalid name"):
        subjects.parse_rule(subjects.rule(name, FeatureKey(FeatureKind.GATE, "checkout")))


def test_every_command_has_its_own_verb_and_a_docstring() -> None:
    assert len({model.verb for model in PUBLIC_COMMANDS}) == len(PUBLIC_COMMANDS)
    assert all(model.__doc__ for model in PUBLIC_COMMANDS)


def test_headers_stay_on_one_line() -> None:
    assert header_safe("a\r\nNats-Msg-Id: x\tü") == "a Nats-Msg-Id: x ?"
    assert rfc3339(1_795_462_046_239) == "2026-11-23T19:27:26.239Z"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_cannot_hold_is_refused_and_not_made_null(number: str) -> None:
    text = f'{{"kind": "DynamicConfig", "name": "limits", "defaultValue": {{"max": [{number}]}}}}'

    with pytest.raises(ValidationError, match="NaN and Infinity are not valid in JSON"):
        DynamicConfig.model_validate_json(text)


def test_a_pipeline_waits_for_confirmation_unless_it_says_otherwise() -> None:
    phases = [{"name": "dev", "rules": RULES}]

    assert Pipeline.model_validate({"name": "p", "phases": phases}).require_confirmation


def test_a_pipeline_that_version_0_1_0_stored_keeps_what_is_in_it() -> None:
    stored = (
        b'{"kind":"ReleasePipeline","id":"p","name":"p","phases":[{"id":"dev","name":"dev","timeIntervalMs":0,'
        b'"requiredReview":false,"approvals":null,"guardrails":[],"rules":[{"name":"r","id":null,'
        b'"environments":null,"conditions":[]}]}],"triggerNotice":null,"observeForMs":0,'
        b'"rollbackScope":"trigger"%s}'
    )

    without = Pipeline.model_validate_json(stored % b"", extra="ignore")
    default = Pipeline.model_validate_json(stored % b',"requireConfirmation":false', extra="ignore")

    assert without.require_confirmation
    assert not default.require_confirmation
