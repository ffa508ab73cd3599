"""A command is authorised once, validated once, decided once, and checked against freezes once."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sluiceway.contracts.commands import AdvancePhase, SaveFeature, SavePipeline
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines import catalogue_decisions
from sluiceway.pipelines import decide as decide_module
from sluiceway.pipelines.catalogue_decisions import Usage, decide_catalogue
from sluiceway.pipelines.decide import decide
from tests.support.builders import (
    BAKE,
    EVERYONE,
    NOW,
    a_catalogue,
    a_freeze,
    a_gate,
    a_phase,
    a_pipeline,
    a_release,
    happened,
    refused,
)

STEPS = ("missing_permission", "feature_errors", "_decide_unfrozen", "active_freezes")
VIEWER = Identity(name="vera", grants=(Grant(role=Role.VIEWER),), vouched_by="key")
EDITOR = Identity(name="edna", grants=(Grant(role=Role.EDITOR),), vouched_by="key")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of `decide`, in the order in which they were taken."""
    taken: list[str] = []

    def counted(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            taken.append(name)
            return step(*arguments)

        return call

    for name in STEPS:
        monkeypatch.setattr(decide_module, name, counted(name, getattr(decide_module, name)))
    return taken


def test_a_save_takes_each_step_once_in_order(steps: list[str]) -> None:
    save = SaveFeature(actor="ada", feature=a_gate(EVERYONE, releasePipelineID="release"), identity=EDITOR)

    happened(decide(None, save, NOW, a_catalogue(a_pipeline())))

    assert steps == list(STEPS)


def test_a_held_phase_in_a_freeze_is_decided_once(steps: list[str]) -> None:
    ledger = a_release(a_phase("dev"), a_phase("prod"))
    ledger.freeze(a_freeze())
    steps.clear()

    event = happened(ledger.act(AdvancePhase, after_ms=BAKE, holds=("guardrail errors",)))

    assert Counter(steps) == {"missing_permission": 1, "_decide_unfrozen": 1, "active_freezes": 1}
    assert event.feature.trigger
    assert [hold.split(" (")[0] for hold in event.feature.trigger.held] == [
        "guardrail errors",
        "freeze quiet",
    ]


def test_nothing_that_a_viewer_sends_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("validated before the sender was authorised")

    monkeypatch.setattr(decide_module, "feature_errors", fail)
    monkeypatch.setattr(catalogue_decisions, "pipeline_errors", fail)
    save = SaveFeature(actor="vera", feature=a_gate(EVERYONE), identity=VIEWER)
    save_pipeline = SavePipeline(actor="vera", pipeline=a_pipeline(), identity=VIEWER)

    feature = refused(decide(None, save, NOW, a_catalogue()))
    pipeline = decide_catalogue(save_pipeline, a_catalogue(), Usage())

    assert feature.code is RefusalCode.NOT_ALLOWED
    assert getattr(pipeline, "code", None) is RefusalCode.NOT_ALLOWED
