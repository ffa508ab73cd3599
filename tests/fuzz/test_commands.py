"""Every command with any values in it is refused or decided, and what follows can be stored and published."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sluiceway.contracts.commands import PUBLIC_COMMANDS, Command, FeatureCommand, SaveFeature
from sluiceway.contracts.events import FeatureEvent
from sluiceway.messaging.feature_log import headers_of, parse_event
from sluiceway.pipelines.catalogue_decisions import PutDocument, Usage, decide_catalogue
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.projection import project_each
from tests.support.builders import (
    NOW,
    Ledger,
    a_config,
    a_gate,
    a_region,
    a_release,
    an_environment,
)

EXAMPLES = 60
REGIONS = (a_region("dev"), a_region("us-west", "production", region="us-west"))
GRANT = {"role": "editor", "environments": ["development"], "pipelines": ["release"]}
IDENTITY = {"name": "ada", "groups": ["sre"], "grants": [GRANT], "vouchedBy": "console"}
CONDITION = {"type": "custom_field", "field": "tier", "operator": "str_matches", "targetValue": ["^a+$"]}
RULE = {
    "name": "some",
    "passPercentage": 12.5,
    "conditions": [CONDITION, {"type": "passes_gate", "targetValue": "other"}],
}
COVERAGE = {"name": "some", "environments": ["development"], "conditions": [CONDITION]}
GUARDRAIL = {"name": "errors", "query": "rate(errors[5m])", "failureCondition": "> 0.01", "interval": "30s"}
PHASE = {
    "name": "dev",
    "timeInterval": "10m",
    "approvals": {"count": 1},
    "rules": [COVERAGE],
    "guardrails": [GUARDRAIL],
}
SDK_KEY = {"kind": "SdkKey", "id": "k1", "region": "dev", "digest": "0" * 64, "createdMs": 1}
FREEZE = {"name": "night", "weekly": [{"from": "Fri 18:00", "to": "Mon 08:00"}], "timeZone": "Europe/Berlin"}
OF_PHASE = {"trigger": "gate.checkout.1", "phaseID": "dev"}
#: The body of a valid command of each verb, without actor and id.
BODIES: dict[str, dict[str, Any]] = {
    "save_feature": {"feature": a_gate(RULE, releasePipelineID="release").to_jsonable()},
    "archive_feature": {"kind": "gate", "name": "checkout"},
    "approve": OF_PHASE,
    "pause": {**OF_PHASE, "guardrail": {"name": "errors", "value": 1}},
    "unpause": OF_PHASE,
    "skip": {**OF_PHASE, "overrideFreeze": True},
    "extend": {**OF_PHASE, "by": "30m"},
    "abort": {"trigger": "gate.checkout.1"},
    "roll_out": {"trigger": "gate.checkout.1"},
    "roll_back": {"trigger": "gate.checkout.1", "alert": {"name": "errors", "labels": {"gate": "checkout"}}},
    "save_pipeline": {"pipeline": {"id": "release", "name": "release", "phases": [PHASE]}},
    "delete_pipeline": {"pipelineID": "release"},
    "save_environment": {"environment": an_environment().to_jsonable()},
    "delete_environment": {"name": "development"},
    "save_region": {"region": REGIONS[1].to_jsonable()},
    "delete_region": {"name": "dev"},
    "save_freeze": {"freeze": FREEZE},
    "delete_freeze": {"name": "night"},
    "save_alert_source": {"source": {"name": "pager", "pipelines": ["release"], "regions": ["dev"]}},
    "delete_alert_source": {"name": "pager"},
    "create_key": {"key": SDK_KEY},
    "revoke_key": {"keyID": "k1"},
}

ODD = st.sampled_from(
    (
        *(
            None,
            True,
            "",
            "\x00",
            "\ud800",
            "𝔸" * 200,
            "a" * 3_000,
            "(a+)+$",
            "(?:a{1000}){1000}",
            "../..",
            "*.>",
        ),
        *(0, -1, 0.1, 1e308, -1e308, float("inf"), float("nan"), 2**63, -(2**200), 10**400),
        *([], {}, [[]], {"": {}}, {"__proto__": 1}, json.loads("[" * 150 + "]" * 150)),
    )
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where each part of a JSON value is."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from paths(part, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a JSON value with another part in one place."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def altered(draw: st.DrawFn, body: dict[str, Any]) -> Any:
    """Return a body with one or two parts replaced by odd values, or by a part of another command."""
    for _ in range(draw(st.integers(1, 2))):
        parts = ODD | st.sampled_from(list(BODIES.values()))
        body = replaced(body, draw(st.sampled_from(list(paths(body)))), draw(parts))
    return body


def parse(verb: str, body: Any) -> Command | None:
    """Return the command as it would arrive; None if it is invalid."""
    (model,) = (model for model in PUBLIC_COMMANDS if model.verb == verb)
    data = json.dumps(body, ensure_ascii=True).encode()
    try:
        return model.model_validate_json(data)
    except ValidationError:
        return None


def released() -> Ledger:
    ledger = a_release()
    ledger.freeze(regions=REGIONS)
    return ledger


STATES = (None, released().feature)
CATALOGUE = released().catalogue


def test_there_is_a_body_for_each_verb_and_all_are_valid() -> None:
    assert set(BODIES) == {model.verb for model in PUBLIC_COMMANDS}
    for verb, body in BODIES.items():
        assert parse(verb, {"actor": "ada", **body}), verb


@pytest.mark.parametrize("verb", sorted(BODIES))
def test_a_command_with_any_values_is_refused_or_can_be_stored(verb: str) -> None:
    @settings(max_examples=EXAMPLES)
    @given(altered({"actor": "ada", "id": "1", "identity": IDENTITY, **BODIES[verb]}))
    def decide_it(body: Any) -> None:
        command = parse(verb, body)
        if command is None:
            return
        if isinstance(command, FeatureCommand):
            for state in STATES:
                if state is None or state.key == command.key:
                    decided(decide(state, command, NOW, CATALOGUE))
        else:
            written = decide_catalogue(command, CATALOGUE, Usage())
            if isinstance(written, PutDocument) and written.document:
                assert (
                    type(written.document).model_validate_json(written.document.to_json()) == written.document
                )

    decide_it()


@settings(max_examples=EXAMPLES)
@given(altered({"defaultValue": {"limit": 10}, "rules": [{**RULE, "returnValue": {"limit": 20}}]}))
def test_a_config_with_any_values_is_refused_or_can_be_published(fields: Any) -> None:
    body = {
        "actor": "ada",
        "feature": {**a_config({}).to_jsonable(), **(fields if isinstance(fields, dict) else {})},
    }

    if command := parse("save_feature", body):
        assert isinstance(command, SaveFeature)
        decided(decide(None, command, NOW, Ledger(CATALOGUE).catalogue))


def decided(decision: object) -> None:
    """Check that what follows from a command can be stored, read, and published in each region."""
    if not isinstance(decision, FeatureEvent):
        str(decision)
        return
    stored = decision.to_json()
    assert parse_event(stored, decision.feature.key) == decision
    assert all(
        header.isprintable() and header.isascii() for header in headers_of(decision, "scheduler").values()
    )
    for document in project_each(decision, 1, REGIONS).values():
        if document:
            json.loads(document.to_json())
