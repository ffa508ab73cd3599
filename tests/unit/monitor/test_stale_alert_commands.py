"""What an alert sends when the releases that it was matched with are no longer the newest."""

import pytest

from sluiceway.contracts.alerts import AlertOutcome
from sluiceway.contracts.commands import AbortTrigger, PauseTrigger, SkipPhase, TriggerCommand
from sluiceway.contracts.replies import Outcome, Refusal, RefusalCode, Reply
from sluiceway.errors import Unavailable
from sluiceway.pipelines import refusals
from tests.support.builders import EVERYONE, Ledger, a_catalogue, a_gate, a_phase, a_pipeline

from .answering import PAGER, Answering, a_release_of

REFUSED = Reply(outcome=Outcome.REFUSED, refusal=refusals.unknown_trigger("gate.checkout.1"))


def phase_of(command: TriggerCommand) -> str | None:
    """Return the phase that a command is meant for; None if it is meant for any."""
    return command.phase_id if isinstance(command, PauseTrigger) else None


def a_pausing_release() -> Ledger:
    """Return a release whose phases are paused by an alert of team a."""
    return a_release_of("checkout", {**PAGER, "onFailure": "pause"})


async def test_a_newer_run_of_the_same_feature_is_rolled_back_after_a_stale_one_was_refused() -> None:
    answering = Answering()
    ledger = a_release_of("checkout", PAGER)
    answering.features.see(ledger.events[-1])
    ledger.act(AbortTrigger)
    ledger.save(a_gate(EVERYONE, name="checkout", releasePipelineID="release"))
    answering.features.unseen = ledger.events[-2:]
    accepted = Reply(outcome=Outcome.ACCEPTED)
    answering.commands.on_sent = lambda c: REFUSED if c.trigger == "gate.checkout.1" else accepted

    answered = await answering.receive(team="a")

    assert [command.trigger for command in answering.commands.sent] == ["gate.checkout.1", "gate.checkout.2"]
    assert answered.triggers == ("gate.checkout.2",)
    assert answering.steps.count("verdict") == 1


async def test_an_accepted_command_is_sent_once_although_its_event_arrives_meanwhile() -> None:
    answering = Answering()
    ledger = a_release_of()
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)
    answering.features.unseen = ledger.events[-1:]

    answered = await answering.receive(gate="checkout")

    assert len(answering.commands.sent) == 1
    assert answered.triggers == ("gate.checkout.1",)


async def test_a_refused_command_is_sent_once_if_the_view_lacked_nothing() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.commands.on_sent = lambda command: REFUSED

    answered = await answering.receive(gate="checkout")

    assert len(answering.commands.sent) == 1
    assert answered.outcome is AlertOutcome.MATCHED


async def test_a_pause_is_sent_for_the_phase_that_the_view_lacked_if_the_older_one_was_refused() -> None:
    answering = Answering()
    ledger = a_pausing_release()
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)
    answering.features.unseen = ledger.events[-1:]
    replies = iter((REFUSED, Reply(outcome=Outcome.ACCEPTED)))
    answering.commands.on_sent = lambda command: next(replies)

    await answering.receive(team="a")

    assert [phase_of(command) for command in answering.commands.sent] == ["dev", "prod"]


def a_stale_phase(ledger: Ledger) -> Reply:
    """Return the reply to a pause that was meant for the phase before."""
    refusal = ledger.act(PauseTrigger, phase_id="dev")
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.STALE_PHASE
    return Reply(outcome=Outcome.REFUSED, refusal=refusal)


async def test_an_alert_is_not_answered_while_its_pause_is_meant_for_an_older_phase() -> None:
    answering = Answering()
    ledger = a_pausing_release()
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)

    def answer(command: TriggerCommand) -> Reply:
        is_stale = phase_of(command) == "dev"
        return a_stale_phase(ledger) if is_stale else Reply(outcome=Outcome.ACCEPTED)

    answering.commands.on_sent = answer
    with pytest.raises(Unavailable, match="its phase has changed"):
        await answering.receive(team="a")
    assert "answer" not in answering.steps
    answering.features.unseen = ledger.events[-1:]
    answered = await answering.receive(team="a")

    assert [phase_of(command) for command in answering.commands.sent] == ["dev", "dev", "dev", "prod"]
    assert len({command.id for command in answering.commands.sent}) == 1
    assert answered.triggers == ("gate.checkout.1",)


async def test_a_stale_pause_ends_with_the_release() -> None:
    answering = Answering()
    ledger = a_pausing_release()
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)
    stale = a_stale_phase(ledger)
    answering.commands.on_sent = lambda command: stale
    ledger.act(AbortTrigger)
    answering.features.unseen = ledger.events[-1:]

    answered = await answering.receive(team="a")

    assert answered.outcome is AlertOutcome.UNMATCHED


async def test_a_stronger_guardrail_of_a_phase_that_the_view_lacked_acts_as_well() -> None:
    answering = Answering()
    phases = (
        a_phase("dev", guardrails=[{**PAGER, "onFailure": "pause"}]),
        a_phase("prod", guardrails=[PAGER]),
    )
    ledger = Ledger(a_catalogue(a_pipeline(*phases)))
    ledger.save(a_gate())
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)
    answering.features.unseen = ledger.events[-1:]

    await answering.receive(team="a")

    assert [command.verb for command in answering.commands.sent] == ["pause", "roll_back"]
