"""Which fields two versions differ in, and which edits leave each other alone."""

from typing import Any

import pytest

from sluiceway.contracts.feature import FeatureGate, Segment
from sluiceway.pipelines.document_changes import changed_fields, changed_in_feature, edit_fits, named_fields
from tests.support.builders import EVERYONE, a_feature, a_gate

A, B, C = ({**EVERYONE, "name": name} for name in "abc")


def changed(document: FeatureGate, **fields: Any) -> FeatureGate:
    return FeatureGate.model_validate({**document.to_jsonable(), **fields})


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({}, {}, set()),
        ({}, {"description": "x"}, {"description"}),
        ({"rules": [A]}, {"rules": [A, B]}, {"rules.b"}),
        ({"rules": [A, B]}, {"rules": [B]}, {"rules.a"}),
        ({"rules": [A]}, {"rules": [{**A, "passPercentage": 5}]}, {"rules.a"}),
        ({"rules": [A]}, {"rules": [{**A, "id": "x"}]}, {"rules.a", "rules.x"}),
        ({"rules": [A, B]}, {"rules": [B, A]}, {"order of rules"}),
        ({"rules": [A, B]}, {"rules": [B, C, A]}, {"rules.c", "order of rules"}),
        ({"releasePipelineID": "p"}, {"isEnabled": False}, {"releasePipelineID", "isEnabled"}),
    ],
)
def test_each_changed_field_and_rule_is_named(
    before: dict[str, Any], after: dict[str, Any], fields: set[str]
) -> None:
    gate = a_gate()

    assert changed_fields(changed(gate, **before), changed(gate, **after)) == fields


def test_each_member_of_a_segment_is_named() -> None:
    one, other = (Segment(name="s", ids=tuple(ids)) for ids in (("u1", "u2"), ("u2", "u3")))

    assert changed_fields(one, other) == {"ids.u1", "ids.u3"}


def test_a_message_names_some_fields_and_the_number_of_the_others() -> None:
    fields = {f"ids.u{n}" for n in range(5_000)}

    assert named_fields(fields).startswith("ids.u0, ids.u1, ids.u10, ")
    assert named_fields(fields).endswith(" and 4990 more")


def test_an_archived_feature_differs() -> None:
    feature = a_feature(a_gate(EVERYONE))

    assert changed_in_feature(feature, feature.changed(archived=True)) == {"archived"}


@pytest.mark.parametrize(
    ("meanwhile", "edit", "fits"),
    [
        ({"description": "x"}, {"isEnabled": False}, True),
        ({"description": "x"}, {"description": "y"}, False),
        ({"description": "x"}, {"description": "x"}, True),
        ({"rules": [A, B]}, {"description": "y"}, True),
        ({"rules": [A, B]}, {"rules": [A, B, C]}, True),
        ({"rules": [A, B]}, {"rules": [A, C]}, False),
        ({"rules": []}, {"rules": [A, C]}, False),
        ({"rules": [A, B]}, {"rules": [B, A]}, False),
        ({"description": "x"}, {"rules": [C, A]}, True),
    ],
)
def test_an_edit_fits_if_it_takes_nothing_back_that_others_have_changed(
    meanwhile: dict[str, Any], edit: dict[str, Any], fits: bool
) -> None:
    read = a_gate(A)
    newest = changed(read, **meanwhile)

    assert edit_fits(read, newest, changed(newest, **edit)) is fits
