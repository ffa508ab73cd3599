"""What a decision reads of the catalogue, and that a command does not pay for the size of it."""

from typing import Any, cast

from sluiceway.contracts import subjects
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.publishing import DELETION
from sluiceway.messaging.stream_records import Record
from tests.support.builders import a_region


def a_view(*regions: str) -> CatalogueView:
    """Return a view that follows nothing, with these regions."""
    view = CatalogueView(cast(Any, None))
    for sequence, name in enumerate(regions, 1):
        view._on_record(a_record(name, sequence))
    return view


def a_record(region: str, sequence: int) -> Record:
    return Record(subjects.catalogue("region", region), sequence, 0, a_region(region).to_json(), {})


def test_the_catalogue_is_put_together_once_for_all_commands_until_it_changes() -> None:
    view = a_view("eu", "us")

    first = view.catalogue()

    assert view.catalogue() is first
    assert set(first.regions) == {"eu", "us"}


def test_what_has_changed_is_in_the_next_catalogue_and_not_in_one_that_somebody_has() -> None:
    view = a_view("eu", "us")
    before = view.catalogue()

    view._on_record(a_record("asia", 3))
    added = view.catalogue()
    view._on_record(Record(subjects.catalogue("region", "eu"), 4, 0, b"", DELETION))
    deleted = view.catalogue()
    view._on_record(Record(subjects.catalogue("region", "us"), 5, 0, b"{", {}))  # keeps the previous version
    view._reset()

    assert set(before.regions) == {"eu", "us"}
    assert set(added.regions) == {"eu", "us", "asia"}
    assert set(deleted.regions) == {"us", "asia"}
    assert not view.catalogue().regions
