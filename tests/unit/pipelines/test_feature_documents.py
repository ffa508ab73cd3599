"""Live state → the document that its author would write."""

import pytest

from sluiceway.contracts.feature import FeatureDocument, Segment
from sluiceway.pipelines.feature_documents import DOCUMENT_MODELS, authored_document
from tests.support.builders import EVERYONE, Ledger, a_config, a_gate, a_release

CONFIG_RULE = {**EVERYONE, "returnValue": {"limit": 2}}


@pytest.mark.parametrize(
    "document",
    [
        a_gate(EVERYONE, description="old", idType="deviceID", isEnabled=False),
        a_config({"limit": 1}, CONFIG_RULE),
        Segment.model_validate({"name": "beta", "ids": ["ada", "bob"], "rules": [EVERYONE]}),
    ],
    ids=lambda document: document.kind,
)
def test_a_saved_document_is_returned_as_it_was_written(document: FeatureDocument) -> None:
    ledger = Ledger()
    ledger.save(document)

    assert authored_document(ledger.feature) == document


def test_a_candidate_is_not_part_of_the_document() -> None:
    feature = a_release().feature

    document = authored_document(feature)

    assert feature.candidate
    assert feature.base
    assert document.rules == feature.base.rules != feature.candidate.rules
    assert document.release_pipeline_id == feature.release_pipeline_id


def test_each_kind_has_its_document() -> None:
    for kind, model in DOCUMENT_MODELS.items():
        assert model(name="some").key.kind is kind
