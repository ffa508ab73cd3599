"""What a feature may refer to, and what must not come of it."""

import pytest

from sluiceway.pipelines.references import EVALUATIONS_MAX, LEVELS_MAX, reference_error, users_of

GRAPH = {"leaf": (), "middle": ("leaf",), "top": ("middle", "leaf")}


def test_what_is_there_and_leads_nowhere_back_is_allowed() -> None:
    assert reference_error("new", ("top", "segment:beta"), {**GRAPH, "segment:beta": ()}) is None


def test_a_missing_reference_is_named() -> None:
    assert reference_error("new", ("leaf", "typo"), GRAPH) == (
        "it refers to typo, which is not there; save that first"
    )


@pytest.mark.parametrize(
    ("name", "own", "way"),
    [
        ("leaf", ("leaf",), "leaf → leaf"),
        ("leaf", ("middle",), "leaf → middle → leaf"),
        ("leaf", ("top",), "leaf → top"),
    ],
)
def test_a_circle_is_shown(name: str, own: tuple[str, ...], way: str) -> None:
    fault = reference_error(name, own, GRAPH)

    assert fault
    assert f"it refers to itself: {way}" in fault


def test_a_chain_may_have_so_many_levels_and_not_one_more() -> None:
    chain = {"g1": (), **{f"g{n}": (f"g{n - 1}",) for n in range(2, LEVELS_MAX)}}

    longest = reference_error("last", (f"g{LEVELS_MAX - 1}",), chain)
    longer = reference_error("more", ("last",), {**chain, "last": (f"g{LEVELS_MAX - 1}",)})

    assert longest is None
    assert longer == f"more would take {LEVELS_MAX + 1} levels of features, at most {LEVELS_MAX} are allowed"


def test_a_ladder_is_refused_also_when_it_grows_at_its_foot() -> None:
    rungs = 9
    ladder = {"g0": (), **{f"g{n}": (f"g{n - 1}",) * 2 for n in range(1, rungs)}}

    at_the_top = reference_error("top", (f"g{rungs - 1}",) * 2, ladder)
    at_the_foot = reference_error("g0", ("leaf", "leaf"), {**ladder, "leaf": (), "top": ("g8", "g8")})

    assert at_the_top == f"a check of top would take 1023 evaluations, at most {EVALUATIONS_MAX} are allowed"
    assert at_the_foot
    assert "evaluations" in at_the_foot


def test_a_circle_that_others_made_does_not_hold_up_the_answer() -> None:
    circle = {"a": ("b",), "b": ("a",)}

    assert reference_error("new", ("a",), circle) is None


def test_users_are_those_that_refer_to_it_themselves() -> None:
    assert users_of("leaf", GRAPH) == ["middle", "top"]
    assert users_of("top", GRAPH) == []
