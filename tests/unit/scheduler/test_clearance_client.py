"""Phases that are due together are cleared together; who is not answered for is held."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import pytest
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from services.scheduler.baked_phase import BakedPhase
from services.scheduler.clearance_client import NO_ANSWER, NO_MONITOR, TOO_LARGE, ClearanceClient, Holds
from services.scheduler.published_rules import PhaseRules
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import trigger_id
from sluiceway.contracts.measurements import (
    CLEARANCES_MAX,
    Clearance,
    ClearanceAnswer,
    ClearanceQuestion,
    ClearanceRequest,
)
from sluiceway.contracts.models import WireModel
from sluiceway.errors import MessageTooLarge
from tests.support.builders import a_release


class LastVersionsRequest(WireModel):
    trigger: str
    phase_id: str
    revision: int


class LastVersionsClearance(WireModel):
    trigger: str
    phase_id: str
    holds: tuple[str, ...]


class FakeMonitor:
    """Answers requests; holds the triggers that it is told to."""

    def __init__(self) -> None:
        self.requests: list[ClearanceRequest] = []
        self.held: set[str] = set()

    async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
        request = ClearanceRequest.model_validate_json(data)
        self.requests.append(request)
        return Msg(cast(Any, None), data=self.answer(request).to_json())

    def answer(self, request: ClearanceRequest) -> WireModel:
        first, *others = map(self.answer_to, request.questions)
        return Clearance(**first.model_dump(), others=tuple(others))

    def answer_to(self, question: ClearanceQuestion) -> ClearanceAnswer:
        holds = ("errors",) if question.trigger in self.held else ()
        return ClearanceAnswer(trigger=question.trigger, phase_id=question.phase_id, holds=holds)


class MonitorOfLastVersion(FakeMonitor):
    """Knows the trigger that the request itself is about, and no others."""

    def answer(self, request: ClearanceRequest) -> WireModel:
        read = LastVersionsRequest.model_validate_json(request.to_json())
        return LastVersionsClearance(trigger=read.trigger, phase_id=read.phase_id, holds=())


class MonitorWithLittleRoom(FakeMonitor):
    """Leaves out what does not fit into its reply."""

    def answer(self, request: ClearanceRequest) -> WireModel:
        first, *others = map(self.answer_to, request.questions)
        return Clearance(**first.model_dump(), others=tuple(others[:3]))


class LyingMonitor(FakeMonitor):
    """Clears something else than it is asked about."""

    def answer_to(self, question: ClearanceQuestion) -> ClearanceAnswer:
        return ClearanceAnswer(trigger=question.trigger, phase_id="another", holds=())


class SilentMonitor(FakeMonitor):
    async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
        raise TimeoutError


class NoMonitor(FakeMonitor):
    async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
        raise NoRespondersError


class SmallBroker(FakeMonitor):
    """Takes requests of at most so many bytes."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__()
        self.bytes_max = bytes_max

    async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
        if len(data) > self.bytes_max:
            raise MessageTooLarge(subject, len(data), self.bytes_max, "the broker's max_payload")
        return await super().request(subject, data, timeout)


class NothingToRead:
    async def of_phases(self, phases: Sequence[BakedPhase]) -> list[PhaseRules]:
        return [PhaseRules((), ())] * len(phases)

    async def missing(self, phases: Sequence[object]) -> list[tuple[str, ...]]:
        return [()] * len(phases)


class FakeConnection(NamedTuple):
    client: FakeMonitor


def due_phases(count: int) -> list[FeatureEvent]:
    """Return the events of as many releases, of features of their own."""
    event = a_release().events[-1]
    trigger = event.feature.trigger
    assert trigger
    return [
        event.model_copy(
            update={
                "feature": event.feature.changed(
                    name=f"f{number}",
                    trigger=trigger.model_copy(
                        update={"id": trigger_id(event.feature.key._replace(name=f"f{number}"), 1)}
                    ),
                )
            }
        )
        for number in range(count)
    ]


async def holds_of(monitor: FakeMonitor, events: Sequence[FeatureEvent]) -> list[Holds]:
    nothing: Any = NothingToRead()
    connection: Any = FakeConnection(monitor)
    client = ClearanceClient(connection, nothing, nothing)
    return await client.holds([BakedPhase(event, number) for number, event in enumerate(events)])


async def test_phases_that_are_due_together_are_asked_about_in_few_requests() -> None:
    monitor = FakeMonitor()
    monitor.held = {"gate.f7.1"}

    holds = await holds_of(monitor, due_phases(2 * CLEARANCES_MAX + 50))

    assert [len(request.questions) for request in monitor.requests] == [CLEARANCES_MAX, CLEARANCES_MAX, 50]
    assert holds[7].by_guardrails == ("errors",)
    assert {each.by_guardrails for number, each in enumerate(holds) if number != 7} == {()}


@pytest.mark.parametrize("monitor", [MonitorOfLastVersion(), MonitorWithLittleRoom()])
async def test_what_a_reply_leaves_out_is_asked_about_again(monitor: FakeMonitor) -> None:
    holds = await holds_of(monitor, due_phases(20))

    assert {each.by_guardrails for each in holds} == {()}
    assert {len(request.questions) for request in monitor.requests} == {20, 1}
    assert len(monitor.requests) <= 20


@pytest.mark.parametrize(
    ("monitor", "reason"),
    [(SilentMonitor(), NO_ANSWER), (NoMonitor(), NO_MONITOR), (LyingMonitor(), NO_ANSWER)],
)
async def test_no_answer_is_no_clearance(monitor: FakeMonitor, reason: str) -> None:
    holds = await holds_of(monitor, due_phases(3))

    assert [each.by_guardrails for each in holds] == [(reason,)] * 3


async def test_what_is_too_large_for_the_broker_is_asked_in_parts() -> None:
    monitor = SmallBroker(bytes_max=1_000)

    holds = await holds_of(monitor, due_phases(CLEARANCES_MAX))

    assert {each.by_guardrails for each in holds} == {()}
    assert sum(len(request.questions) for request in monitor.requests) == CLEARANCES_MAX


async def test_what_is_too_large_alone_is_held() -> None:
    holds = await holds_of(SmallBroker(bytes_max=10), due_phases(3))

    assert [each.by_guardrails for each in holds] == [(TOO_LARGE,)] * 3


async def test_the_phases_of_two_events_of_one_trigger_are_told_apart() -> None:
    class OnlyNewest(FakeMonitor):
        def answer_to(self, question: ClearanceQuestion) -> ClearanceAnswer:
            holds = () if question.revision else ("behind",)
            return ClearanceAnswer(trigger=question.trigger, phase_id=question.phase_id, holds=holds)

    holds = await holds_of(OnlyNewest(), due_phases(1) * 2)

    assert [each.by_guardrails for each in holds] == [("behind",), ()]


def test_requests_and_replies_are_read_by_the_version_before_and_from_it() -> None:
    question = b'{"trigger":"gate.checkout.1","phaseID":"dev","revision":7}'
    reply = b'{"trigger":"gate.checkout.1","phaseID":"dev","holds":["errors"]}'

    request = ClearanceRequest.model_validate_json(question)
    clearance = Clearance.model_validate_json(reply)

    assert (request.questions, len(clearance.answers)) == ((request,), 1)
    assert LastVersionsRequest.model_validate_json(request.to_json()).revision == 7
    assert LastVersionsClearance.model_validate_json(clearance.to_json()).holds == ("errors",)
