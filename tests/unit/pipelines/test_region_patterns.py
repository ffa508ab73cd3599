"""Patterns on the attributes of a region are decided by whoever projects, for each region again."""

import pytest

from sluiceway.contracts.conditions import Condition
from sluiceway.evaluation import patterns
from sluiceway.pipelines.segments import Location, remaining_conditions


def test_a_pattern_is_searched_for_once_in_each_value(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    search = patterns._search

    def counted(pattern: object, text: str, allowance: patterns.CheckAllowance) -> bool:
        searched.append(text)
        return search(pattern, text, allowance)  # type: ignore[arg-type]

    monkeypatch.setattr(patterns, "_search", counted)
    fields = {"type": "custom_field", "field": "zone", "operator": "str_matches", "targetValue": "^eu-once"}
    condition = Condition.model_validate(fields)

    def matches(zone: str) -> bool:
        return remaining_conditions(None, [condition], Location("production", {"zone": zone})) == ()

    assert [matches(zone) for zone in ("eu-once-1", "us-1", "eu-once-1", "us-1")] == [
        True,
        False,
        True,
        False,
    ]
    assert searched == ["eu-once-1", "us-1"]
