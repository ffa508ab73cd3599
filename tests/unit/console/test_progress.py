"""A trigger as a track, and what an action would change: in the words that people read."""

from services.console.pages.impact import Impact, impact_of
from services.console.pages.progress import release_progress
from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    PauseTrigger,
    PhaseCommand,
    RollBackTrigger,
    RollOutTrigger,
    SkipPhase,
    TriggerCommand,
)
from sluiceway.pipelines.decide import decide
from tests.support.builders import Ledger, a_phase, a_region, a_release, happened

REGIONS = (a_region("dev"), a_region("stage", "staging"), a_region("prod", "production"))


def a_guarded_release() -> Ledger:
    """Return a release that bakes in dev, and will wait for two approvals before production."""
    prod = a_phase("prod", environments=["production"], approvals={"count": 2})
    return a_release(a_phase("dev"), prod)


def test_a_track_says_where_each_phase_stands() -> None:
    ledger = a_guarded_release()

    track = release_progress(ledger.trigger)

    assert (track.status, track.look) == ("in progress", "busy")
    assert [(step.said, step.look) for step in track.steps] == [("bakes", "busy"), ("not released", "off")]
    assert track.steps[0].until_ms == ledger.trigger.due_ms


def test_what_waits_is_told_from_what_was_skipped() -> None:
    ledger = a_guarded_release()
    ledger.act(SkipPhase)

    waiting = release_progress(ledger.trigger)
    ledger.act(SkipPhase)
    skipped = release_progress(ledger.trigger)

    assert waiting.steps[1].said == "waits for review, 0 of 2 approvals"
    assert (skipped.steps[1].said, skipped.steps[1].look) == ("skipped, not released", "off")


def test_what_was_taken_back_does_not_look_released() -> None:
    ledger = a_guarded_release()
    ledger.act(RollBackTrigger)

    track = release_progress(ledger.trigger)

    assert (track.steps[0].said, track.steps[0].look) == ("taken back", "bad")
    assert track.steps[1].said == "not released"


def test_skipping_says_who_waits_next() -> None:
    told = _would(a_guarded_release(), SkipPhase)

    assert told.gained == told.lost == ()
    assert told.then == "Phase prod waits for 2 approvals."


def test_the_last_approval_opens_its_regions_and_the_one_before_it_none() -> None:
    ledger = a_guarded_release()
    ledger.act(SkipPhase)

    first = _would(ledger, ApprovePhase, actor="bob")
    ledger.act(ApprovePhase, actor="bob")
    second = _would(ledger, ApprovePhase, actor="cleo")

    assert (first.gained, first.then) == ((), "Phase prod waits for 1 approval.")
    assert second.gained == ("prod",)
    assert second.then == "Phase prod bakes for 1m; then the release goes on by itself."


def test_an_abort_takes_back_from_those_that_have_it_alone() -> None:
    told = _would(a_guarded_release(), AbortTrigger)

    assert (told.lost, told.kept) == (("dev",), ("prod", "stage"))
    assert told.then == "The release is over; another try needs a new change."


def test_a_rollout_reaches_every_region() -> None:
    told = _would(a_guarded_release(), RollOutTrigger)

    assert told.gained == ("prod", "stage")


def test_a_pause_says_what_is_left_of_the_bake() -> None:
    ledger = a_guarded_release()
    ledger.now += 15_000

    told = _would(ledger, PauseTrigger)

    assert told.then == "Phase dev stands still with 45s of its bake left."


def _would(ledger: Ledger, model: type[TriggerCommand], actor: str = "ada") -> Impact:
    fields = {"actor": actor, "trigger": ledger.trigger.id}
    if issubclass(model, PhaseCommand):
        fields["phase_id"] = ledger.trigger.current_run.phase.id
    event = happened(decide(ledger.state, model.model_validate(fields), ledger.now, ledger.catalogue))
    return impact_of(ledger.feature, event, REGIONS)
