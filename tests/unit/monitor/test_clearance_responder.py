"""One answer for many phases: each by its own guardrails, and a bounded reply."""

from typing import Any

from services.monitor.clearance_responder import FAILED, HOLDS_BYTES_MAX, NOT_CAUGHT_UP, ClearanceResponder
from sluiceway.contracts.measurements import (
    CLEARANCES_MAX,
    ClearanceQuestion,
    ClearanceRequest,
)
from sluiceway.errors import Unavailable
from tests.support.builders import NOW

KNOWN = 10


class Entry:
    sequence = KNOWN


class Views:
    """The log, the measurements and the guardrails of a monitor that knows all features up to `KNOWN`."""

    def __init__(self, *, holds: int = 0, can_read: bool = True) -> None:
        self.reads = 0
        self._holds = holds
        self._can_read = can_read

    def get(self, key: object) -> Entry:
        return Entry()

    async def catch_up(self) -> None:
        self.reads += 1
        if not self._can_read:
            raise Unavailable("cannot read the log")

    def are_known(self, trigger: str) -> bool:
        return True

    def of_trigger(self, trigger: str) -> list[int]:
        return list(range(self._holds))


class Responder(ClearanceResponder):
    """Is held by each guardrail, with a long text."""

    def __init__(self, views: Any) -> None:
        super().__init__(views, views, views, lambda: NOW)

    def _hold(self, active: Any) -> str | None:
        return f"{active} {'x' * 400}"


def asked(count: int, revision: int = 1) -> ClearanceRequest:
    questions = [
        ClearanceQuestion(trigger=f"gate.f{number}.1", phase_id="dev", revision=revision)
        for number in range(count)
    ]
    return ClearanceRequest(**questions[0].model_dump(), others=tuple(questions[1:]))


async def test_many_phases_cost_one_look_at_the_measurements_and_none_at_the_log() -> None:
    views = Views(holds=1)

    clearance = await Responder(views).clear(asked(CLEARANCES_MAX))

    assert views.reads == 1
    assert len(clearance.answers) == CLEARANCES_MAX
    assert {len(answer.holds) for answer in clearance.answers} == {1}


async def test_without_a_guardrail_nothing_is_read() -> None:
    views = Views()

    clearance = await Responder(views).clear(asked(3))

    assert (views.reads, [answer.holds for answer in clearance.answers]) == (0, [()] * 3)


async def test_a_reply_is_bounded_and_says_nothing_about_what_does_not_fit() -> None:
    clearance = await Responder(Views(holds=20)).clear(asked(CLEARANCES_MAX))

    assert 1 < len(clearance.answers) < CLEARANCES_MAX
    assert len(clearance.to_json()) < HOLDS_BYTES_MAX + 100 * CLEARANCES_MAX


async def test_a_log_that_cannot_be_read_holds_all_phases() -> None:
    clearance = await Responder(Views(can_read=False)).clear(asked(3, revision=KNOWN + 1))

    assert [answer.holds for answer in clearance.answers] == [(NOT_CAUGHT_UP,)] * 3


async def test_an_internal_error_with_one_phase_holds_that_phase_alone() -> None:
    class Failing(Responder):
        def _hold(self, active: Any) -> str | None:
            raise AssertionError("a bug")

    class OneGuarded(Views):
        def of_trigger(self, trigger: str) -> list[int]:
            return [1] if trigger == "gate.f1.1" else []

    clearance = await Failing(OneGuarded()).clear(asked(3))

    assert [answer.holds for answer in clearance.answers] == [(), (FAILED,), ()]
