"""Pipelines as text and as a form: nothing is lost between the two."""

from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from services.console.pages.document_text import document_text, parse_yaml
from services.console.pages.pipeline_form import document_from_fields, fields_of, with_phase_moved
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.yaml_documents import dump_yaml, load_yaml

NAMES = st.text("abcXYZ 09-_äß'\":#", min_size=1, max_size=20).filter(lambda name: name.strip() == name)
IDS = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
CONDITIONS = st.fixed_dictionaries(
    {
        "type": st.just("custom_field"),
        "field": NAMES,
        "operator": st.sampled_from(["any", "none", "gt"]),
        "targetValue": st.one_of(st.lists(NAMES, max_size=3), st.integers(), st.text(max_size=10)),
    }
)
RULES = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "environments": st.lists(IDS, min_size=1, max_size=2),
        "conditions": st.lists(CONDITIONS, max_size=2),
    },
)
GUARDRAILS = st.lists(
    st.fixed_dictionaries(
        {"name": IDS, "query": NAMES, "failureCondition": st.just("> 1")},
        optional={"intervalMs": st.integers(100, 10**7)},
    ),
    max_size=2,
    unique_by=lambda guardrail: guardrail["name"],
)
GROUPS = st.none() | st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=2)
APPROVALS = st.none() | st.fixed_dictionaries(
    {"count": st.integers(1, 20), "groups": GROUPS, "allowAuthor": st.booleans()}
)


@st.composite
def phases(draw: st.DrawFn) -> dict[str, Any]:
    approvals = draw(APPROVALS)
    phase = {
        "id": draw(IDS),
        "name": draw(NAMES),
        "timeIntervalMs": draw(st.integers(0, 10**10)),
        "rules": draw(st.lists(RULES, min_size=1, max_size=2)),
        "guardrails": draw(GUARDRAILS),
    }
    return {**phase, "approvals": approvals, "requiredReview": approvals is not None or draw(st.booleans())}


PIPELINES = st.builds(
    lambda name, phases, more: Pipeline.model_validate({"id": "p", "name": name, "phases": phases, **more}),
    NAMES,
    st.lists(phases(), min_size=1, max_size=3, unique_by=lambda phase: phase["id"]),
    st.fixed_dictionaries(
        {},
        optional={
            "triggerNotice": NAMES,
            "observeForMs": st.integers(0, 10**10),
            "rollbackScope": st.sampled_from(["phase", "trigger"]),
            "requireConfirmation": st.booleans(),
        },
    ),
)


SCALARS = st.text() | st.integers() | st.booleans()


@given(st.recursive(SCALARS, lambda one: st.lists(one) | st.dictionaries(st.text(), one), max_leaves=5))
@example("\x85")
def test_yaml_is_read_back_as_the_same_value(value: Any) -> None:
    assert yaml.safe_load(dump_yaml(value)) == load_yaml(dump_yaml(value)) == value


@given(PIPELINES)
def test_a_pipeline_as_text_is_the_same_pipeline(pipeline: Pipeline) -> None:
    assert Pipeline.model_validate(parse_yaml(document_text(pipeline))) == pipeline


@given(PIPELINES)
def test_a_pipeline_as_a_form_is_the_same_pipeline(pipeline: Pipeline) -> None:
    fields = fields_of(parse_yaml(document_text(pipeline)))

    assert Pipeline.model_validate(document_from_fields(fields)) == pipeline


@given(PIPELINES, st.integers(0, 4), st.sampled_from(["up", "down", "remove"]))
def test_moving_a_phase_changes_no_phase(pipeline: Pipeline, place: int, way: str) -> None:
    fields = fields_of(parse_yaml(document_text(pipeline)))

    after = with_phase_moved(fields, f"{way}-{place}")

    assert set(after.phases) <= set(fields.phases)
    assert len(after.phases) == len(fields.phases) - (way == "remove" and place < len(fields.phases))
