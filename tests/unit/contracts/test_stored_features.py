"""The JSON of a feature in events: of parts that are encoded once, and the same as of a whole."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sluiceway.contracts.commands import PauseTrigger, RollOutTrigger, UnpauseTrigger
from sluiceway.contracts.feature import Feature, Spec
from sluiceway.contracts.models import WireModel
from sluiceway.contracts.pipeline import Pipeline
from tests.support.builders import EVERYONE, Ledger, a_gate, a_phase, a_release, happened

ONLY_IN_RUNS = {"timeIntervalMs", "requiredReview", "approvals", "guardrails"}


def features() -> Iterator[Feature]:
    """Yield features with and without a release, a live version, and one to restore."""
    unreleased = Ledger()
    yield happened(unreleased.save(a_gate(EVERYONE))).feature
    release = a_release(a_phase("dev"), a_phase("prod"), observe_for_ms=60_000)
    yield release.feature
    yield happened(release.act(PauseTrigger)).feature
    yield happened(release.act(RollOutTrigger)).feature
    release.save(a_gate(EVERYONE, description="another", releasePipelineID="release"))
    yield release.feature


def test_a_feature_has_the_json_of_its_parts() -> None:
    for feature in features():
        whole = json.loads(feature.model_dump_json(exclude_defaults=True))
        for phase in whole["trigger"]["pipeline"]["phases"] if feature.trigger else ():
            for name in ONLY_IN_RUNS & phase.keys():
                del phase[name]

        assert json.loads(feature.to_stored_json()) == whole


def test_versions_and_pipeline_are_encoded_once_however_many_events_have_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release, encoded = a_release(), list[str]()
    for model in (Spec, Pipeline):

        def count(self: Spec | Pipeline, **options: Any) -> str:
            encoded.append(type(self).__name__)
            return WireModel.model_dump_json(self, **options)

        monkeypatch.setattr(model, "model_dump_json", count)

    for _ in range(3):
        for command in (PauseTrigger, UnpauseTrigger):
            happened(release.act(command)).to_json()

    assert sorted(encoded) == ["Pipeline", "Spec", "Spec"]  # base and candidate


def test_a_changed_version_is_encoded_as_it_is() -> None:
    feature = a_release().feature
    assert feature.candidate
    before = feature.to_stored_json()

    changed = feature.changed(candidate=feature.candidate.model_copy(update={"version": 99}))

    assert json.loads(changed.to_stored_json())["candidate"]["version"] == 99
    assert feature.to_stored_json() == before
