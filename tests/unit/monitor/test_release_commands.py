"""A roll-back is sent without its evidence rather than not at all."""

from typing import Any

import pytest

from services.monitor.release_commands import send_until_effective
from sluiceway.contracts.commands import Command, PauseTrigger, RollBackTrigger
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import Unavailable
from sluiceway.pipelines import refusals

TRIGGER = "gate.checkout.1"
EVIDENCE = {"name": "errors", "query": "x" * 1_000}


class SmallBroker:
    """Takes commands of 500 bytes."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    async def send(self, command: Command) -> Reply:
        if (size := len(command.to_json())) > 500:
            return Reply(outcome=Outcome.REFUSED, refusal=refusals.too_large(size, 500))
        self.taken.append(command)
        return Reply(outcome=Outcome.ACCEPTED)


async def test_a_roll_back_that_is_too_large_is_sent_without_its_evidence() -> None:
    broker = SmallBroker()
    command = RollBackTrigger(actor="monitor", trigger=TRIGGER, alert={"text": "x" * 1_000})

    reply = await send_until_effective(broker, command, 0)  # type: ignore[arg-type]

    assert reply.outcome is Outcome.ACCEPTED
    assert [(sent.id, sent.alert, sent.guardrail) for sent in broker.taken] == [(command.id, {}, {})]


async def test_a_pause_keeps_the_name_of_its_guardrail_which_allows_it() -> None:
    broker = SmallBroker()
    command = PauseTrigger(actor="monitor", trigger=TRIGGER, phase_id="dev", guardrail=EVIDENCE)

    await send_until_effective(broker, command, 0)  # type: ignore[arg-type]

    assert [sent.guardrail for sent in broker.taken] == [{"name": "errors"}]


async def test_a_command_that_is_refused_because_of_too_many_was_not_answered() -> None:
    class Busy:
        async def send(self, command: Command) -> Reply:
            return Reply(outcome=Outcome.REFUSED, refusal=refusals.rate_limited("monitor", 1))

    with pytest.raises(Unavailable):
        await send_until_effective(Busy(), RollBackTrigger(actor="monitor", trigger=TRIGGER), 0)  # type: ignore[arg-type]
