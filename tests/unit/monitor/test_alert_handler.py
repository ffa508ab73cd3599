"""In which order an alert is answered: its command before any request, its record after the complete look."""

import asyncio
from typing import Any

import pytest

from services.monitor import alert_handler
from sluiceway.contracts.alerts import AlertOutcome
from sluiceway.contracts.commands import AbortTrigger, TriggerCommand
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import RetryLater, Unavailable
from tests.support.waiting import eventually

from .answering import PAGER, Answering, a_release_of


async def test_the_command_is_sent_before_any_request_and_the_record_after_the_complete_look() -> None:
    answering = Answering()
    answering.features.see(a_release_of("checkout", PAGER).events[-1])

    answered = await answering.receive(team="a")

    assert (answering.steps[0], answering.steps[-1]) == ("roll_back", "answer")
    assert sorted(answering.steps[1:-1]) == ["catch up", "caught up", "verdict"]
    assert answered.triggers == ("gate.checkout.1",)


async def test_an_alert_is_not_answered_before_the_views_have_caught_up() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.features.may_catch_up.clear()

    receiving = asyncio.create_task(answering.receive(gate="checkout"))
    await eventually(lambda: "catch up" in answering.steps, "the view is being caught up")
    for _ in range(20):
        await asyncio.sleep(0)

    assert answering.steps == ["roll_back", "catch up"]
    answering.features.may_catch_up.set()
    assert (await receiving).outcome is AlertOutcome.MATCHED


async def test_an_alert_is_not_answered_before_every_command_was() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.commands.may_answer.clear()

    receiving = asyncio.create_task(answering.receive(gate="checkout"))
    await eventually(lambda: "caught up" in answering.steps, "the view is complete")
    for _ in range(20):
        await asyncio.sleep(0)

    assert "answer" not in answering.steps
    answering.commands.may_answer.set()
    await receiving


async def test_a_release_that_the_view_lacked_is_rolled_back_too_and_both_are_recorded() -> None:
    answering = Answering()
    answering.features.see(a_release_of("checkout").events[-1])
    answering.features.unseen = [a_release_of("search").events[-1]]

    answered = await answering.receive(pipeline="release")

    assert [command.trigger for command in answering.commands.sent] == ["gate.checkout.1", "gate.search.1"]
    assert answering.steps[0] == "roll_back"
    assert answered.triggers == ("gate.checkout.1", "gate.search.1")


async def test_an_alert_without_a_match_is_judged_only_after_catching_up() -> None:
    answering = Answering()
    answering.features.unseen = [a_release_of().events[-1]]

    before = await answering.receive(starts_at=1, gate="checkout")
    unmatched = await answering.receive(gate="other")

    assert (before.outcome, before.later_triggers) == (AlertOutcome.BEFORE_RELEASE, ("gate.checkout.1",))
    assert unmatched.outcome is AlertOutcome.UNMATCHED


async def test_a_notification_waits_for_the_complete_view() -> None:
    answering = Answering()
    ledger = a_release_of("checkout", {**PAGER, "onFailure": "notify"})
    answering.features.see(ledger.events[-1])
    ledger.act(AbortTrigger)
    answering.features.unseen = ledger.events[-1:]

    answered = await answering.receive(team="a")

    assert answered.outcome is AlertOutcome.UNMATCHED
    assert "verdict" not in answering.steps


async def test_a_view_that_knows_it_is_behind_is_not_acted_on() -> None:
    answering = Answering()
    ledger = a_release_of()
    answering.features.see(ledger.events[-1])
    ledger.act(AbortTrigger)
    answering.features.unseen = ledger.events[-1:]
    answering.features.knows_it_is_behind = True

    answered = await answering.receive(gate="checkout")

    assert answering.steps == ["catch up", "caught up", "answer"]
    assert answered.outcome is AlertOutcome.UNMATCHED


async def test_a_command_without_an_answer_keeps_the_alert_but_not_the_others() -> None:
    answering = Answering()
    for name in ("checkout", "search"):
        answering.features.see(a_release_of(name).events[-1])

    def answer(command: TriggerCommand) -> Reply:
        if command.trigger == "gate.checkout.1":
            raise Unavailable("nobody answers")
        return Reply(outcome=Outcome.ACCEPTED)

    answering.commands.on_sent = answer
    with pytest.raises(RetryLater):
        await answering.receive(pipeline="release")

    assert {command.trigger for command in answering.commands.sent} == {"gate.checkout.1", "gate.search.1"}
    assert answering.records.answers == []


async def test_without_a_trusted_clock_an_alert_does_not_count_as_too_old() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.clock_problem = RetryLater("the clock differs")

    with pytest.raises(RetryLater):
        await answering.receive(starts_at=1, gate="checkout")

    assert answering.records.answers == []


async def test_each_body_is_parsed_once_and_few_commands_of_an_alert_are_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parse, parsed = FeatureEvent.model_validate_json, []

    def counted(data: bytes, **options: Any) -> FeatureEvent:
        parsed.append(data)
        return parse(data, **options)

    monkeypatch.setattr(alert_handler, "RELEASES_AT_ONCE", 4)
    monkeypatch.setattr(FeatureEvent, "model_validate_json", counted)
    answering = Answering()
    for n in range(30):
        answering.features.see(a_release_of(f"gate{n}").events[-1])
    other = a_release_of("other", PAGER).events[-1]
    answering.features.see(other)

    answered = await answering.receive(pipeline="release")

    assert len(answered.triggers) == len(answering.commands.sent) == len(parsed) == 31
    assert answering.commands.most_under_way == 4
    await answering.receive(gate="gate3")
    assert len(parsed) <= 32


async def test_an_alert_about_many_releases_lets_others_go_on_while_they_are_matched() -> None:
    answering, turns = Answering(), 0
    for n in range(200):
        answering.features.see(a_release_of(f"gate{n}").events[-1])

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    answered = await answering.receive(starts_at=1, pipeline="release")
    task.cancel()

    assert len(answered.later_triggers) == 200
    assert turns >= 200 // alert_handler.RELEASES_AT_ONCE
