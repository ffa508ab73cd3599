"""When a freeze is on, what it forbids, and who may do it all the same."""

from datetime import datetime
from typing import Any

import pytest

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    PauseTrigger,
    RollBackTrigger,
    RollOutTrigger,
    SkipPhase,
    StartingCommand,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.pipeline import RollbackScope
from sluiceway.contracts.replies import RefusalCode
from sluiceway.pipelines.freezes import describe_windows, next_change_ms, open_window
from tests.support.builders import (
    BAKE,
    EVERYONE,
    Ledger,
    a_catalogue,
    a_freeze,
    a_gate,
    a_phase,
    a_pipeline,
    a_region,
    a_release,
    happened,
    refused,
    unchanged,
)

WEEKENDS = a_freeze("weekends", ("Fri 16:00", "Mon 08:00"), timeZone="Europe/Berlin")
IN_PRODUCTION = a_phase("prod", environments=["production"])
DEV, PROD, EU = a_region("dev"), a_region("prod-us", "production"), a_region("prod-eu", "production")
WHY = {"override_freeze": True, "reason": "hotfix"}


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("moment", "is_on"),
    [
        ("2026-11-27T15:59:59+01:00", False),
        ("2026-11-27T16:00:00+01:00", True),
        ("2026-11-29T12:00:00+01:00", True),
        ("2026-11-30T07:59:59+01:00", True),
        ("2026-11-30T08:00:00+01:00", False),
        ("2026-06-05T16:00:00+02:00", True),
        ("2026-06-05T15:59:59+02:00", False),
    ],
)
def test_a_weekly_window_is_open_by_the_clock_on_the_wall(moment: str, is_on: bool) -> None:
    assert (open_window(WEEKENDS, at(moment)) is not None) == is_on


def test_the_open_window_is_named_in_words_and_its_end_is_known() -> None:
    two = a_freeze("nights", ("Mon 18:00", "Tue 08:00"), ("Tue 18:00", "Wed 08:00"))

    assert open_window(two, at("2026-11-24T20:00:00Z")) == "Tue 18:00 to Wed 08:00 UTC"
    assert next_change_ms(two, at("2026-11-24T20:00:30Z")) == at("2026-11-25T08:00:00Z")
    assert next_change_ms(two, at("2026-11-25T08:00:00Z")) == at("2026-11-30T18:00:00Z")
    assert describe_windows(two) == ("Mon 18:00 to Tue 08:00 UTC", "Tue 18:00 to Wed 08:00 UTC")


def test_windows_that_fill_the_week_never_end() -> None:
    always = a_freeze("always", ("Mon 00:00", "Thu 00:00"), ("Thu 00:00", "Mon 00:00"))

    assert next_change_ms(always, at("2026-11-25T08:00:00Z")) is None


def test_a_single_window_opens_and_closes_once() -> None:
    freeze = a_freeze(
        timeZone="Europe/Berlin", **{"from": "2026-12-20T00:00:00", "to": "2027-01-02T00:00:00Z"}
    )
    start, end = at("2026-12-19T23:00:00Z"), at("2027-01-02T00:00:00Z")

    moments = (start - 1, start, end - 1, end)

    assert [open_window(freeze, moment) is not None for moment in moments] == [False, True, True, False]
    assert [next_change_ms(freeze, moment) for moment in moments] == [start, end, end, None]
    assert describe_windows(freeze) == ("2026-12-20 00:00 to 2027-01-02 01:00 Europe/Berlin",)


def test_a_due_phase_is_held_by_a_freeze_told_once_and_goes_on_afterwards() -> None:
    ledger = a_release()
    ledger.freeze(a_freeze("weekends"), a_freeze("nights"))

    held = happened(ledger.act(AdvancePhase, after_ms=BAKE, holds=("no answer",)))
    again = unchanged(ledger.act(AdvancePhase, after_ms=60_000, holds=("no answer",)))
    ledger.freeze()
    left = happened(ledger.act(AdvancePhase))

    window = "1970-01-01 00:00 to 2970-01-01 00:00 UTC"
    assert held.type is EventType.PHASE_HELD
    assert held.feature.trigger
    assert held.feature.trigger.held == (
        "no answer",
        f"freeze nights ({window})",
        f"freeze weekends ({window})",
    )
    assert "freeze weekends" in again.message
    assert left.type is EventType.PHASE_ADVANCED


def test_a_phase_that_is_not_due_is_not_held() -> None:
    ledger = a_release()
    ledger.freeze(a_freeze())

    assert refused(ledger.act(AdvancePhase)).code is RefusalCode.NOT_DUE


@pytest.mark.parametrize("command", [ApprovePhase, SkipPhase, RollOutTrigger])
def test_people_are_told_what_forbids_and_what_to_do(command: type[TriggerCommand]) -> None:
    ledger = a_release(a_phase("dev", review=True), a_phase("prod"))
    ledger.freeze(a_freeze("weekends"))

    refusal = refused(ledger.act(command, reason="now!"))

    assert refusal.code is RefusalCode.FROZEN
    assert "freeze weekends (1970-01-01 00:00 to 2970-01-01 00:00 UTC)" in refusal.message
    assert "--override-freeze --reason" in refusal.message
    assert ledger.events[-1].type is EventType.TRIGGER_STARTED


def test_a_change_that_starts_a_phase_at_once_is_refused_and_one_that_waits_for_review_is_not() -> None:
    gate = a_gate(EVERYONE, releasePipelineID="release")
    at_once, waiting = Ledger(), Ledger(a_catalogue(a_pipeline(a_phase(review=True))))
    for ledger in (at_once, waiting):
        ledger.freeze(a_freeze())

    assert refused(at_once.save(gate)).code is RefusalCode.FROZEN
    assert happened(waiting.save(gate)).type is EventType.TRIGGER_STARTED


def test_a_change_without_a_pipeline_is_never_frozen() -> None:
    ledger = Ledger()
    ledger.freeze(a_freeze())

    assert happened(ledger.save(a_gate())).type is EventType.FEATURE_CHANGED


@pytest.mark.parametrize("command", [AbortTrigger, RollBackTrigger, PauseTrigger])
def test_no_freeze_stands_in_the_way_of_stopping(command: type[TriggerCommand]) -> None:
    ledger = a_release()
    ledger.freeze(a_freeze())

    assert happened(ledger.act(command)).overrode == ()


def test_going_on_with_a_bake_starts_nothing() -> None:
    ledger = a_release()
    ledger.freeze(a_freeze())
    ledger.act(PauseTrigger)

    assert happened(ledger.act(UnpauseTrigger)).type is EventType.TRIGGER_UNPAUSED


def test_a_phase_that_was_rolled_back_does_not_start_again_inside_a_freeze() -> None:
    pipeline = a_pipeline(a_phase("dev"), a_phase("prod"))
    by_phase = pipeline.model_copy(update={"rollback_scope": RollbackScope.PHASE})
    ledger = Ledger(a_catalogue(by_phase))
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    ledger.freeze(a_freeze())

    rolled_back = happened(ledger.act(RollBackTrigger))

    assert rolled_back.type is EventType.PHASE_ROLLED_BACK
    assert refused(ledger.act(UnpauseTrigger)).code is RefusalCode.FROZEN
    assert happened(ledger.act(UnpauseTrigger, **WHY)).overrode == ("quiet",)  # type: ignore[arg-type]


@pytest.mark.parametrize("command", [ApprovePhase, SkipPhase, RollOutTrigger])
def test_who_overrides_says_why_and_the_log_says_what(command: type[StartingCommand]) -> None:
    ledger = a_release(a_phase("dev", review=True), a_phase("prod"))
    ledger.freeze(a_freeze("weekends"), a_freeze("other", pipelines=["other"]))

    event = happened(ledger.act(command, **WHY))  # type: ignore[arg-type]

    assert event.overrode == ledger.trigger.actions[-1].overrode == ("weekends",)
    assert (event.reason, ledger.trigger.actions[-1].reason) == ("hotfix", "hotfix")


def test_a_change_may_override_and_what_meets_no_freeze_overrides_nothing() -> None:
    gate = a_gate(EVERYONE, releasePipelineID="release")
    frozen, free = Ledger(), Ledger()
    frozen.freeze(a_freeze())

    assert happened(frozen.save(gate, **WHY)).overrode == frozen.trigger.actions[0].overrode == ("quiet",)
    assert happened(free.save(gate, **WHY)).overrode == ()


@pytest.mark.parametrize("reason", [None, "", " \n"])
def test_overriding_without_a_reason_is_refused(reason: str | None) -> None:
    ledger = a_release()

    refusal = refused(ledger.act(SkipPhase, override_freeze=True, reason=reason))

    assert refusal.code is RefusalCode.INVALID
    assert "--reason" in refusal.message


@pytest.mark.parametrize(
    ("scope", "is_frozen"),
    [
        ({}, True),
        ({"environments": ["production"]}, True),
        ({"environments": ["staging", "production"]}, True),
        ({"environments": ["development"]}, False),
        ({"regions": ["prod-eu"]}, True),
        ({"regions": ["dev"]}, False),
        ({"environments": ["development"], "regions": ["prod-eu"]}, False),
        ({"environments": ["production"], "pipelines": ["release"]}, True),
        ({"environments": ["production"], "pipelines": ["other"]}, False),
    ],
)
def test_all_kinds_of_scope_must_agree(scope: dict[str, Any], is_frozen: bool) -> None:
    ledger = a_release(a_phase("dev"), IN_PRODUCTION)
    ledger.freeze(a_freeze("quiet", **scope), regions=(DEV, PROD, EU))

    ledger.act(AdvancePhase, after_ms=BAKE)

    assert bool(ledger.trigger.held) == is_frozen


def test_an_environment_that_a_phase_names_is_frozen_before_it_has_a_region() -> None:
    ledger = a_release(a_phase("dev"), IN_PRODUCTION)
    ledger.freeze(a_freeze(environments=["production"]))

    assert refused(ledger.act(SkipPhase)).code is RefusalCode.FROZEN


def test_a_completion_is_frozen_where_somebody_has_no_candidate_yet() -> None:
    ledger = a_release(a_phase("dev"))
    production = a_freeze(environments=["production"])
    ledger.freeze(production, regions=(DEV, PROD))

    held = happened(ledger.act(AdvancePhase, after_ms=BAKE))
    ledger.freeze(production, regions=(DEV,))
    completed = happened(ledger.act(AdvancePhase))

    assert held.type is EventType.PHASE_HELD
    assert completed.type is EventType.TRIGGER_COMPLETED


def test_a_completion_that_gives_nobody_anything_new_is_free() -> None:
    ledger = a_release(a_phase("dev"), IN_PRODUCTION)
    ledger.act(SkipPhase)
    ledger.freeze(a_freeze(), regions=(DEV, PROD))

    ledger.act(AdvancePhase, after_ms=BAKE)

    assert ledger.trigger.status is TriggerStatus.COMPLETED


def test_a_region_that_only_some_users_of_have_got_is_not_done() -> None:
    pro = {"type": "custom_field", "field": "tier", "operator": "any", "targetValue": ["pro"]}
    ledger = a_release(a_phase("pro", environments=None, conditions=[pro]))
    ledger.freeze(a_freeze(regions=["dev"]), regions=(DEV,))

    assert refused(ledger.act(RollOutTrigger)).code is RefusalCode.FROZEN
