"""The catalogue in memory, as decisions read it."""

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Environment
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.publishing import DELETION
from sluiceway.messaging.stream_records import Record
from tests.support.builders import a_freeze, a_region

NAMES = ("a", "b", "c")
#: The kind of each document that is written; "deletion" and "reset" are what they say.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["environment", "region", "freeze", "deletion", "reset"]), st.sampled_from(NAMES)
    ),
    max_size=20,
)


def a_view() -> CatalogueView:
    """Return a view that follows nothing."""
    return CatalogueView(cast(Any, None))


def write(view: CatalogueView, kind: str, name: str, sequence: int) -> None:
    document = {
        "environment": Environment(name=name),
        "region": a_region(name),
        "freeze": a_freeze(name),
    }[kind]
    view._on_record(Record(subjects.catalogue(kind, name), sequence, 0, document.to_json(), {}))


def test_decisions_share_one_catalogue_until_a_document_changes() -> None:
    view = a_view()
    write(view, "region", "eu", 1)

    first = view.catalogue()
    write(view, "region", "us", 2)
    second = view.catalogue()

    assert view.catalogue() is second
    assert (list(first.regions), list(second.regions)) == (["eu"], ["eu", "us"])


@given(steps=STEPS)
def test_a_catalogue_holds_what_was_written_last(steps: list[tuple[str, str]]) -> None:
    view, expected = a_view(), dict[tuple[str, str], int]()
    for sequence, (kind, name) in enumerate(steps, start=1):
        if kind == "reset":
            view._reset()
            expected.clear()
        elif kind == "deletion":
            view._on_record(Record(subjects.catalogue("region", name), sequence, 0, b"", DELETION))
            expected.pop(("region", name), None)
        else:
            write(view, kind, name, sequence)
            expected[kind, name] = sequence
        catalogue = view.catalogue()

        named = {
            "environment": catalogue.environments,
            "region": catalogue.regions,
            "freeze": catalogue.freezes,
        }
        assert {(kind, name) for kind, known in named.items() for name in known} == expected.keys()
        for (kind, name), written in expected.items():
            stored = view.get(kind, name)
            assert stored
            assert stored.revision == view.last_sequence(kind, name) == written
            assert stored in view.all(kind)
