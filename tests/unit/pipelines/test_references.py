"""Which features a feature may refer to."""

import pytest

from sluiceway.pipelines.references import (
    EVALUATIONS_MAX,
    LEVELS_MAX,
    evaluation_error,
    reference_error,
    referrers_of,
    related,
)

GRAPH = {"leaf": (), "middle": ("leaf",), "top": ("middle", "leaf")}


def test_references_to_existing_features_without_a_cycle_are_allowed() -> None:
    assert reference_error("new", ("top", "segment:beta"), {**GRAPH, "segment:beta": ()}) is None


def test_a_missing_reference_is_named() -> None:
    assert reference_error("new", ("leaf", "typo"), GRAPH) == (
        "it refers to typo, which does not exist; save that first"
    )


@pytest.mark.parametrize(
    ("name", "own", "path"),
    [
        ("leaf", ("leaf",), "leaf → leaf"),
        ("leaf", ("middle",), "leaf → middle → leaf"),
        ("leaf", ("top",), "leaf → top"),
    ],
)
def test_a_cycle_is_named_with_its_path(name: str, own: tuple[str, ...], path: str) -> None:
    error = reference_error(name, own, GRAPH)

    assert error
    assert f"it refers to itself: {path}" in error


def test_a_chain_may_have_the_maximum_of_levels_and_no_more() -> None:
    chain = {"g1": (), **{f"g{n}": (f"g{n - 1}",) for n in range(2, LEVELS_MAX)}}

    longest = reference_error("last", (f"g{LEVELS_MAX - 1}",), chain)
    longer = reference_error("more", ("last",), {**chain, "last": (f"g{LEVELS_MAX - 1}",)})

    assert longest is None
    assert longer == (
        f"more would refer to features over {LEVELS_MAX + 1} levels; at most {LEVELS_MAX} are allowed"
    )


def test_too_many_evaluations_are_refused_at_the_top_and_at_the_bottom() -> None:
    levels = 9
    doubling = {"g0": (), **{f"g{n}": (f"g{n - 1}",) * 2 for n in range(1, levels)}}

    at_the_top = reference_error("top", (f"g{levels - 1}",) * 2, doubling)
    at_the_bottom = reference_error("g0", ("leaf", "leaf"), {**doubling, "leaf": (), "top": ("g8", "g8")})

    assert at_the_top == f"a check of top would take 1023 evaluations; at most {EVALUATIONS_MAX} are allowed"
    assert at_the_bottom
    assert "evaluations" in at_the_bottom


def test_a_cycle_among_other_features_is_visited_once() -> None:
    cycle = {"a": ("b",), "b": ("a",)}

    assert reference_error("new", ("a",), cycle) is None


def test_referrers_are_those_that_refer_to_it_directly() -> None:
    assert referrers_of("leaf", GRAPH) == ["middle", "top"]
    assert referrers_of("top", GRAPH) == []


def test_a_change_that_adds_no_reference_is_not_refused_for_those_that_are_there() -> None:
    cycle = {"a": ("b",), "b": ("a",)}

    assert reference_error("a", ("b", "gone"), cycle, added=()) is None
    assert reference_error("a", ("b", "gone"), cycle, added=("b",)) == "it refers to itself: a → b → a"


def test_a_missing_reference_harms_no_evaluation() -> None:
    assert evaluation_error("new", ("typo",), GRAPH) is None


def test_related_are_those_above_and_below() -> None:
    assert related("middle", {**GRAPH, "other": ("leaf",), "apart": ()}) == {"top", "leaf"}
