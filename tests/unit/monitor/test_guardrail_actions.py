"""What follows from a verdict: the command, once, and the record of it."""

from typing import Any, cast

import pytest

from services.monitor.guardrail_actions import GuardrailActions
from sluiceway.contracts.commands import Command, PauseTrigger, RollBackTrigger
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.measurements import Judgement, Measurement, Round, Verdict, VerdictChanged
from sluiceway.contracts.replies import Outcome, Refusal, RefusalCode, Reply
from sluiceway.errors import Unavailable
from sluiceway.pipelines.guardrail_schedule import ActiveGuardrail, active_guardrails, round_of
from sluiceway.pipelines.simulation import simulated_trigger
from tests.support.builders import a_phase, a_pipeline

LONG = "x" * 100
ACCEPTED = Reply(outcome=Outcome.ACCEPTED)


class Scene:
    """Somebody who answers commands, and a place for verdicts."""

    def __init__(self, *replies: Reply) -> None:
        self.sent: list[Command] = []
        self.told: list[VerdictChanged] = []
        self._replies = list(replies)
        self.actions = GuardrailActions(
            cast(Any, self), cast(Any, self), "http://ada:secret@prometheus:9090/"
        )

    async def send(self, command: Command) -> Reply:
        self.sent.append(command)
        return self._replies.pop(0) if self._replies else ACCEPTED

    async def store_verdict(self, change: VerdictChanged) -> None:
        self.told.append(change)


def a_watch(**fields: Any) -> ActiveGuardrail:
    guardrail = {"name": LONG, "query": "up", "failureCondition": "> 1", **fields}
    pipeline = a_pipeline(a_phase(LONG, guardrails=[guardrail]))
    key = FeatureKey(FeatureKind.DYNAMIC_CONFIG, LONG)
    (watch,) = active_guardrails(simulated_trigger(pipeline, 0, key, 0))
    return watch


def a_round(watch: ActiveGuardrail, judgement: Judgement, *, times: int = 1) -> Round:
    """Return the look at a guardrail after so many measurements that said this."""
    round_ = None
    for time_ms in range(times):
        one = Measurement(region="eu", query='up{a="b c"}', judgement=judgement, value=5, why="5 is too much")
        round_ = round_of(watch, round_, [one], time_ms)
    assert round_
    return round_


async def test_the_longest_names_are_rolled_back_as_well_as_others() -> None:
    scene, watch = Scene(), a_watch()

    await scene.actions.act(watch, a_round(watch, Judgement.FAILURE), Verdict.PASSING)

    (command,) = scene.sent
    assert isinstance(command, RollBackTrigger)
    assert command.reason
    assert "5 is too much" in command.reason
    assert command.guardrail["value"] == 5
    assert command.guardrail["url"] == "http://prometheus:9090/graph?g0.expr=up%7Ba%3D%22b%20c%22%7D&g0.tab=0"
    (told,) = scene.told
    assert (told.before, told.verdict, told.action) == (Verdict.PASSING, Verdict.FAILED, "rollback")


async def test_the_same_verdict_sends_the_same_command_and_tells_nothing_more() -> None:
    scene, watch = Scene(ACCEPTED, Reply(outcome=Outcome.UNCHANGED)), a_watch()

    await scene.actions.act(watch, a_round(watch, Judgement.FAILURE), Verdict.PASSING)
    await scene.actions.act(watch, a_round(watch, Judgement.FAILURE, times=2), Verdict.FAILED)

    assert scene.sent[0].id == scene.sent[1].id
    assert len(scene.told) == 1


async def test_a_command_that_nobody_could_do_is_not_taken_for_done() -> None:
    unavailable = Refusal(code=RefusalCode.UNAVAILABLE, message="later")
    scene, watch = Scene(Reply(outcome=Outcome.REFUSED, refusal=unavailable)), a_watch()

    with pytest.raises(Unavailable):
        await scene.actions.act(watch, a_round(watch, Judgement.FAILURE), Verdict.PASSING)

    assert scene.told == []


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
async def test_it_does_what_its_author_said_and_when(
    fields: dict[str, Any], judgement: Judgement, times: int, is_due: bool, expected: type[Command] | None
) -> None:
    scene, watch = Scene(), a_watch(**fields)

    round_ = a_round(watch, judgement, times=times)
    await scene.actions.act(watch, round_, round_.verdict, is_due=is_due)

    assert [type(command) for command in scene.sent] == ([expected] if expected else [])
