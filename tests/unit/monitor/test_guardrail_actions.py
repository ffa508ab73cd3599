"""The action that follows from a verdict: the command, once, and the record of it."""

from typing import Any, cast

import pytest

from services.monitor.guardrail_actions import GuardrailActions
from sluiceway.contracts.commands import Command, PauseTrigger, RollBackTrigger
from sluiceway.contracts.feature import Feature, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.measurements import Judgement, Measurement, Round, Verdict, VerdictChanged
from sluiceway.contracts.replies import Outcome, Refusal, RefusalCode, Reply
from sluiceway.errors import Unavailable
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, active_guardrails, round_of
from sluiceway.pipelines.simulation import simulated_trigger
from tests.support.builders import a_phase, a_pipeline

LONG = "x" * 100
ACCEPTED = Reply(outcome=Outcome.ACCEPTED)


class FakeBroker:
    """Answers commands with these replies, and stores verdicts."""

    def __init__(self, *replies: Reply) -> None:
        self.sent: list[Command] = []
        self.verdicts: list[VerdictChanged] = []
        self._replies = list(replies)
        self.actions = GuardrailActions(
            cast(Any, self), cast(Any, self), "http://ada:secret@prometheus:9090/"
        )

    async def send(self, command: Command) -> Reply:
        self.sent.append(command)
        return self._replies.pop(0) if self._replies else ACCEPTED

    async def store_verdict(self, change: VerdictChanged) -> None:
        self.verdicts.append(change)


def an_active_guardrail(**fields: Any) -> ActiveGuardrail:
    guardrail = {"name": LONG, "query": "up", "failureCondition": "> 1", **fields}
    pipeline = a_pipeline(a_phase(LONG, guardrails=[guardrail]))
    key = FeatureKey(FeatureKind.DYNAMIC_CONFIG, LONG)
    (active,) = active_guardrails(simulated_trigger(pipeline, 0, key, 0))
    return active


def an_unchanged(active: ActiveGuardrail, status: TriggerStatus) -> Reply:
    """Return the reply that a command was applied before, with its trigger in a status."""
    trigger = active.trigger.model_copy(update={"status": status})
    feature = Feature(kind=FeatureKind.GATE, name="checkout", salt="salt", trigger=trigger)
    return Reply(outcome=Outcome.UNCHANGED, feature=feature, revision_tag="7-00000000")


def a_round(active: ActiveGuardrail, judgement: Judgement, *, times: int = 1) -> Round:
    """Return the round after this many measurements with this judgement."""
    round_ = None
    for time_ms in range(times):
        measurement = Measurement(
            region="eu", query='up{a="b c"}', judgement=judgement, value=5, why="5 is too much"
        )
        round_ = round_of(active, round_, [measurement], time_ms)
    assert round_
    return round_


async def test_a_guardrail_with_the_longest_names_rolls_back() -> None:
    broker, active = FakeBroker(), an_active_guardrail()

    await broker.actions.act(active, a_round(active, Judgement.FAILURE), Verdict.PASSING)

    (command,) = broker.sent
    assert isinstance(command, RollBackTrigger)
    assert command.reason
    assert "5 is too much" in command.reason
    assert command.guardrail["value"] == 5
    assert command.guardrail["url"] == "http://prometheus:9090/graph?g0.expr=up%7Ba%3D%22b%20c%22%7D&g0.tab=0"
    (change,) = broker.verdicts
    assert (change.before, change.verdict, change.action) == (Verdict.PASSING, Verdict.FAILED, "rollback")


async def test_the_same_verdict_sends_the_same_command_and_is_recorded_once() -> None:
    active = an_active_guardrail()
    broker = FakeBroker(ACCEPTED, an_unchanged(active, TriggerStatus.ROLLED_BACK))

    await broker.actions.act(active, a_round(active, Judgement.FAILURE), Verdict.PASSING)
    await broker.actions.act(active, a_round(active, Judgement.FAILURE, times=2), Verdict.FAILED)

    assert broker.sent[0].id == broker.sent[1].id
    assert len(broker.verdicts) == 1


async def test_a_roll_back_that_counts_as_done_while_the_release_goes_on_is_sent_under_another_id() -> None:
    active = an_active_guardrail()
    broker = FakeBroker(an_unchanged(active, TriggerStatus.IN_PROGRESS), ACCEPTED)

    await broker.actions.act(active, a_round(active, Judgement.FAILURE), Verdict.PASSING)

    assert len({command.id for command in broker.sent}) == 2
    assert len(broker.verdicts) == 1


async def test_a_roll_back_whose_effect_is_never_seen_counts_as_not_done() -> None:
    active = an_active_guardrail()
    broker = FakeBroker(*[an_unchanged(active, TriggerStatus.IN_PROGRESS)] * 2)

    with pytest.raises(Unavailable, match="roll_back has no effect"):
        await broker.actions.act(active, a_round(active, Judgement.FAILURE), Verdict.PASSING)

    assert broker.verdicts == []


async def test_a_command_that_no_scheduler_could_process_counts_as_not_done() -> None:
    unavailable = Refusal(code=RefusalCode.UNAVAILABLE, message="later")
    broker, active = FakeBroker(Reply(outcome=Outcome.REFUSED, refusal=unavailable)), an_active_guardrail()

    with pytest.raises(Unavailable):
        await broker.actions.act(active, a_round(active, Judgement.FAILURE), Verdict.PASSING)

    assert broker.verdicts == []


@pytest.mark.parametrize(
    ("fields", "judgement", "times", "is_due", "expected"),
    [
        ({"onFailure": "pause"}, Judgement.FAILURE, 1, False, PauseTrigger),
        ({"onFailure": "notify"}, Judgement.FAILURE, 1, False, None),
        ({"failureLimit": 1}, Judgement.FAILURE, 1, False, None),
        ({"onInconclusive": "rollback"}, Judgement.INCONCLUSIVE, 1, False, None),
        ({"onInconclusive": "rollback"}, Judgement.INCONCLUSIVE, 1, True, RollBackTrigger),
        ({"onInconclusive": "pause"}, Judgement.ERROR, 4, True, None),
        ({"onInconclusive": "pause"}, Judgement.ERROR, 5, False, PauseTrigger),
        ({"onInconclusive": "hold"}, Judgement.ERROR, 9, True, None),
    ],
)
async def test_it_does_what_its_author_asked_for_and_when(
    fields: dict[str, Any], judgement: Judgement, times: int, is_due: bool, expected: type[Command] | None
) -> None:
    broker, active = FakeBroker(), an_active_guardrail(**fields)

    round_ = a_round(active, judgement, times=times)
    await broker.actions.act(active, round_, round_.verdict, is_due=is_due)

    assert [type(command) for command in broker.sent] == ([expected] if expected else [])
