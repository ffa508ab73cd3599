"""Indexes of features: after any events, they say what a walk over all features would say."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console import feature_lists
from services.console.feature_lists import FeatureNames, NewestReleases
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_indexes import StatusCounts
from sluiceway.messaging.stream_records import Record
from sluiceway.pipelines.references import evaluation_error, related

NAMES = ("a", "b", "c")
SPEC_NAMES = (*NAMES, *(f"segment:{name}" for name in NAMES))
PIPELINES = ("slow", "fast")
TIMES = (1, 2, 3)
#: In place of an event: the log went back.
RESET = None

spec_lists = st.lists(st.sampled_from(SPEC_NAMES), max_size=3).map(" ".join)
keys = st.builds(FeatureKey, st.sampled_from(FeatureKind), st.sampled_from(NAMES))
headers = st.fixed_dictionaries(
    {envelope.CE_TYPE: st.just("sluiceway.feature_changed")},
    optional={
        envelope.STATUS: st.sampled_from(TriggerStatus).map(str),
        envelope.PIPELINE: st.sampled_from(PIPELINES),
        envelope.RUNNING_PIPELINE: st.sampled_from(PIPELINES),
        envelope.REFERENCES: spec_lists,
        envelope.RESTORABLE: spec_lists.map(lambda specs: f"1 {specs}"),
        envelope.OBSERVED: st.sampled_from(TIMES).map(str),
        envelope.ARCHIVED: st.just("true"),
    },
)
events = st.lists(st.one_of(st.just(RESET), st.tuples(keys, headers)), max_size=30)


def a_view_after(
    history: list[tuple[FeatureKey, dict[str, str]] | None],
) -> tuple[DecisionView, StatusCounts]:
    view = DecisionView(cast(Any, None), cast(Any, None))
    counts = view.with_index(StatusCounts())
    for sequence, event in enumerate(history, start=1):
        apply(view, sequence, event)
    return view, counts


def apply(view: DecisionView, sequence: int, event: tuple[FeatureKey, dict[str, str]] | None) -> None:
    if event is RESET:
        view._reset()
    else:
        key, event_headers = event
        view._on_record(Record(subjects.feature(key), sequence, 0, b"", event_headers))


def by_spec(
    view: DecisionView, references: Callable[[FeatureEntry], Iterable[str] | None]
) -> dict[str, Counter[str]]:
    """Return what the features refer to that are not archived, by a walk."""
    found: dict[str, Counter[str]] = {}
    for entry in view:
        if (own := references(entry)) is not None:
            found.setdefault(entry.key.spec_name, Counter()).update(own)
    return found


def by_pipeline(
    view: DecisionView, pipeline: Callable[[FeatureEntry], str | None]
) -> dict[str, set[FeatureKey]]:
    found: dict[str, set[FeatureKey]] = {}
    for entry in view:
        if name := pipeline(entry):
            found.setdefault(name, set()).add(entry.key)
    return found


@given(history=events, now_ms=st.integers(0, max(TIMES) + 1))
def test_the_graph_of_references_is_that_of_a_walk(
    history: list[tuple[FeatureKey, dict[str, str]] | None], now_ms: int
) -> None:
    view, _ = a_view_after(history)
    current = by_spec(view, lambda entry: entry.references)
    restorable = by_spec(
        view,
        lambda entry: (
            None
            if entry.references is None
            else entry.restorable_references
            if now_ms < entry.observed_until_ms
            else ()
        ),
    )

    graph = view.references
    assert {name: Counter(graph.current[name]) for name in graph} == current
    assert {name: Counter(graph.at(now_ms)[name]) for name in graph} == {
        name: current[name] + restorable[name] for name in current
    }
    for name in SPEC_NAMES:
        assert set(graph.referrers(name)) == {each for each, own in current.items() if name in own}
        assert set(graph.restorers(name, now_ms)) == {each for each, own in restorable.items() if name in own}


@given(
    history=events, name=st.sampled_from(SPEC_NAMES), own=st.lists(st.sampled_from(SPEC_NAMES), max_size=3)
)
def test_a_graph_and_a_plain_mapping_lead_to_the_same_refusals(
    history: list[tuple[FeatureKey, dict[str, str]] | None], name: str, own: list[str]
) -> None:
    view, _ = a_view_after(history)
    graph = view.references.at(0)
    plain = {each: graph[each] for each in graph}

    found, expected = (evaluation_error(name, tuple(own), known) for known in (graph, plain))

    assert (found is None) == (expected is None)
    assert related(name, graph) == related(name, plain)


@given(history=events)
def test_the_use_of_pipelines_and_the_counts_are_those_of_a_walk(
    history: list[tuple[FeatureKey, dict[str, str]] | None],
) -> None:
    view, counts = a_view_after(history)

    attached = {name: set(members) for name, members in view.usage.attached.items()}
    running = {name: set(members) for name, members in view.usage.running.items()}

    assert attached == by_pipeline(view, lambda entry: entry.pipeline)
    assert running == by_pipeline(view, lambda entry: entry.running_pipeline)
    expected = Counter(entry.status for entry in view)
    assert {status: counts[status] for status in TriggerStatus} == {
        status: expected[status] for status in TriggerStatus
    }


@given(history=events)
def test_an_index_that_is_added_later_is_the_same(
    history: list[tuple[FeatureKey, dict[str, str]] | None],
) -> None:
    view, counts = a_view_after(history)

    later = view.with_index(StatusCounts())

    assert [later[status] for status in TriggerStatus] == [counts[status] for status in TriggerStatus]


@pytest.mark.parametrize("inserted_max", [0, feature_lists.INSERTED_MAX])
@given(history=events, is_read_often=st.booleans())
def test_the_lists_of_the_console_are_those_of_a_walk(
    inserted_max: int, history: list[tuple[FeatureKey, dict[str, str]] | None], is_read_often: bool
) -> None:
    view = DecisionView(cast(Any, None), cast(Any, None))
    names, releases = view.with_index(FeatureNames()), view.with_index(NewestReleases())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_lists, "INSERTED_MAX", inserted_max)
        for sequence, event in enumerate(history, start=1):
            apply(view, sequence, event)
            if is_read_often:
                names.sort()
        by_name = sorted((entry.key for entry in view), key=lambda key: (key.name, key.kind))

        assert list(names.sorted()) == by_name
        for kind in FeatureKind:
            assert list(names.sorted(kind)) == [key for key in by_name if key.kind is kind]
    newest = sorted(view, key=lambda entry: entry.sequence, reverse=True)
    assert list(releases.active()) == [entry for entry in newest if entry.is_active]
    assert list(releases.ended()) == [entry for entry in newest if entry.status and not entry.is_active]
    assert releases.active_count == len(list(releases.active()))
