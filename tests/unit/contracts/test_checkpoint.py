"""A publisher of an older version reads a checkpoint as the mark of a region that it does not know."""

import pytest
from pydantic import ValidationError

from sluiceway.contracts import subjects
from sluiceway.contracts.checkpoint import Checkpoint
from sluiceway.contracts.identifiers import RegionName
from sluiceway.contracts.models import WireModel
from sluiceway.contracts.rule_document import CompleteSet


def a_checkpoint(*unproved: str) -> Checkpoint:
    return Checkpoint(
        epoch=7,
        log_sequence=3,
        projection="",
        log_created="",
        log_time_ms=1,
        rules_created="",
        rules_sequence=9,
        documents=2,
        regions={"dev": "0123"},
        unproved=unproved,
    )


def test_an_older_publisher_takes_it_for_a_mark() -> None:
    assert subjects.is_complete_set(subjects.checkpoint())
    assert CompleteSet.model_validate_json(a_checkpoint().to_json(), extra="ignore").epoch == 7


def test_no_region_has_the_name_that_it_is_stored_under() -> None:
    class _Named(WireModel):
        region: RegionName

    with pytest.raises(ValidationError):
        _Named(region=subjects.parse_region(subjects.checkpoint()))


def test_it_names_features_only() -> None:
    assert a_checkpoint("gate.checkout").unproved == ("gate.checkout",)
    with pytest.raises(ValidationError):
        a_checkpoint("checkout")
