"""The progress of a release, and what an action would change, as people read it."""

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


def test_the_progress_shows_the_status_of_each_phase() -> None:
    ledger = a_guarded_release()

    progress = release_progress(ledger.trigger)

    assert (progress.status, progress.css_class) == ("in progress", "busy")
    assert [(phase.status, phase.css_class) for phase in progress.phases] == [
        ("bakes", "busy"),
        ("not released", "off"),
    ]
    assert progress.phases[0].until_ms == ledger.trigger.due_ms


def test_a_waiting_phase_differs_from_a_skipped_one() -> None:
    ledger = a_guarded_release()
    ledger.act(SkipPhase)

    waiting = release_progress(ledger.trigger)
    ledger.act(SkipPhase)
    skipped = release_progress(ledger.trigger)

    assert waiting.phases[1].status == "waits for review, 0 of 2 approvals"
    assert (skipped.phases[1].status, skipped.phases[1].css_class) == ("skipped, not released", "off")


def test_a_withdrawn_phase_does_not_look_released() -> None:
    ledger = a_guarded_release()
    ledger.act(RollBackTrigger)

    progress = release_progress(ledger.trigger)

    assert (progress.phases[0].status, progress.phases[0].css_class) == ("taken back", "bad")
    assert progress.phases[1].status == "not released"


def test_skipping_says_who_waits_next() -> None:
    impact = _would(a_guarded_release(), SkipPhase)

    assert impact.gained == impact.lost == ()
    assert impact.state_after == "Phase prod waits for 2 approvals."


def test_the_last_approval_opens_its_regions_and_the_one_before_it_none() -> None:
    ledger = a_guarded_release()
    ledger.act(SkipPhase)

    first = _would(ledger, ApprovePhase, actor="bob")
    ledger.act(ApprovePhase, actor="bob")
    second = _would(ledger, ApprovePhase, actor="cleo")

    assert (first.gained, first.state_after) == ((), "Phase prod waits for 1 approval.")
    assert second.gained == ("prod",)
    assert second.state_after == "Phase prod bakes for 1m; then the release continues automatically."


def test_an_abort_takes_back_from_those_that_have_it_alone() -> None:
    impact = _would(a_guarded_release(), AbortTrigger)

    assert (impact.lost, impact.unchanged) == (("dev",), ("prod", "stage"))
    assert impact.state_after == "The release has ended. To try again, save the change again."


def test_a_rollout_reaches_every_region() -> None:
    impact = _would(a_guarded_release(), RollOutTrigger)

    assert impact.gained == ("prod", "stage")


def test_a_pause_says_what_is_left_of_the_bake() -> None:
    ledger = a_guarded_release()
    ledger.now += 15_000

    impact = _would(ledger, PauseTrigger)

    assert impact.state_after == "Phase dev is paused with 45s of its bake left."


def _would(ledger: Ledger, model: type[TriggerCommand], actor: str = "ada") -> Impact:
    fields = {"actor": actor, "trigger": ledger.trigger.id}
    if issubclass(model, PhaseCommand):
        fields["phase_id"] = ledger.trigger.current_run.phase.id
    event = happened(decide(ledger.state, model.model_validate(fields), ledger.now, ledger.catalogue))
    return impact_of(ledger.feature, event, REGIONS)
