"""Extending a bake adds to what is left of it."""

import pytest
from pydantic import ValidationError

from sluiceway.contracts.commands import AdvancePhase, ExtendBake, PauseTrigger, SkipPhase, UnpauseTrigger
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import ActionType, TriggerStatus
from sluiceway.contracts.replies import RefusalCode
from tests.support.builders import BAKE, NOW, a_phase, a_release, happened, refused

MORE = 5_000


def test_a_running_phase_bakes_for_longer() -> None:
    ledger = a_release()

    event = happened(ledger.act(ExtendBake, by_ms=MORE, reason="traffic is low"))

    assert event.type is EventType.BAKE_EXTENDED
    assert ledger.trigger.due_ms == NOW + BAKE + MORE
    assert ledger.trigger.actions[-1].type is ActionType.EXTENDED
    assert refused(ledger.act(AdvancePhase, after_ms=BAKE)).code is RefusalCode.NOT_DUE
    assert happened(ledger.act(AdvancePhase, after_ms=MORE)).type is EventType.PHASE_ADVANCED


def test_a_paused_phase_bakes_for_longer_once_it_goes_on() -> None:
    ledger = a_release()
    ledger.act(PauseTrigger, after_ms=BAKE // 2)

    ledger.act(ExtendBake, by_ms=MORE)
    ledger.act(UnpauseTrigger, after_ms=10 * BAKE)

    assert ledger.trigger.due_ms == ledger.now + BAKE // 2 + MORE


def test_a_held_phase_bakes_on_from_now() -> None:
    ledger = a_release()
    ledger.act(AdvancePhase, after_ms=3 * BAKE, holds=("guardrail errors",))

    ledger.act(ExtendBake, by_ms=MORE)

    assert ledger.trigger.held == ()
    assert ledger.trigger.due_ms == ledger.now + MORE


def test_a_phase_that_has_not_started_has_no_bake_to_extend() -> None:
    waiting = a_release(a_phase("dev"), a_phase("prod", review=True))
    waiting.act(SkipPhase)

    refusal = refused(waiting.act(ExtendBake))
    waiting.act(PauseTrigger, guardrail={"name": "errors"})
    paused = refused(waiting.act(ExtendBake))

    assert waiting.trigger.status is TriggerStatus.PAUSED
    assert refusal.code is paused.code is RefusalCode.NOT_POSSIBLE


def test_a_length_is_written_as_people_write_it() -> None:
    fields = {"actor": "ada", "trigger": "gate.checkout.1", "phaseID": "dev"}

    assert ExtendBake.model_validate({**fields, "by": "1h30m"}).by_ms == 5_400_000
    with pytest.raises(ValidationError):
        ExtendBake.model_validate({**fields, "byMs": 0})
