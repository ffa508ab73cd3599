"""A scheduler to whom the log answers with an older state than it knows: nothing follows from that."""

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytest

from services.scheduler import command_processor
from services.scheduler.command_processor import PARSED_AT_ONCE_BYTES, CommandProcessor
from services.scheduler.side_thread import SideThread
from sluiceway.contracts.commands import AdvancePhase, FeatureCommand, PauseTrigger, UnpauseTrigger
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import Conflict, Unavailable
from sluiceway.messaging import feature_entry
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_log import (
    EncodedEvent,
    FeatureLog,
    LoggedEvent,
    LogTail,
    headers_of,
    parse_event,
)
from sluiceway.messaging.parsed_events import ParsedEvents
from sluiceway.messaging.stream_records import Position
from tests.support.answering_client import AnsweringClient
from tests.support.builders import BAKE, Ledger, a_catalogue, a_release

#: As many as there may be answers in a test.
ALWAYS = 1_000


class OldLog(FeatureLog):
    """A log that has the newest event, but answers so often with the one before it."""

    def __init__(self, ledger: Ledger, old_answers: int) -> None:
        super().__init__(Connection(AnsweringClient(lambda _: None)), "/tests")
        self._events = [LoggedEvent(number, event) for number, event in enumerate(ledger.events, 1)]
        self._old_answers = old_answers
        self._appends = 0

    async def newest_tail(self, key: FeatureKey, parse: object = None) -> LogTail:
        self._old_answers -= 1
        logged = self._events[-2 if self._old_answers >= 0 else -1]
        return LogTail(logged, logged.sequence)

    async def append(self, event: EncodedEvent, expected: int) -> int:
        self._appends += 1
        if self._appends == 1 or expected != self._events[-1].sequence:
            raise Conflict("another event came first")
        return expected + 1


class View:
    """What the scheduler has followed: the newest event, or those that it has not caught up with yet."""

    parse = None
    resets = 0

    def __init__(self, ledger: Ledger, lag: int = 0, quorum_lost: Unavailable | None = None) -> None:
        self._ledger = ledger
        self._quorum_lost = quorum_lost
        self._follow(len(ledger.events) - lag)

    @property
    def position(self) -> Position:
        return Position("", self._entry.sequence)

    def _follow(self, sequence: int) -> None:
        event = self._ledger.events[sequence - 1]
        headers = headers_of(event, "")
        self._entry = FeatureEntry(event.feature.key, sequence, headers, data=event.to_json())

    def get(self, key: FeatureKey) -> FeatureEntry | None:
        return self._entry

    async def catch_up(self) -> None:
        if self._quorum_lost:
            raise self._quorum_lost
        if self._entry.sequence < len(self._ledger.events):
            self._follow(len(self._ledger.events))

    def has_applied(self, command: FeatureCommand) -> bool:
        return False

    def appending(self, event: EncodedEvent) -> AbstractContextManager[None]:
        return nullcontext()

    def add(self, event: EncodedEvent, sequence: int) -> None:
        """The test ends here."""


class Documents:
    """A catalogue that does not change."""

    def __init__(self, ledger: Ledger) -> None:
        self._catalogue = a_catalogue()

    def catalogue(self) -> Any:
        return self._catalogue

    async def has_changed(self) -> bool:
        return False

    async def catch_up(self) -> None:
        """It is current."""

    def api_key(self, id_: str) -> None:
        """There are none."""


def a_processor(ledger: Ledger, old_answers: int, view: View | None = None) -> CommandProcessor:
    view, documents = view or View(ledger), Documents(ledger)
    return CommandProcessor(
        OldLog(ledger, old_answers),
        cast(Any, view),
        cast(Any, documents),
        lambda: ledger.now + BAKE,
        SideThread(),
    )


def an_advance(ledger: Ledger) -> FeatureCommand:
    return AdvancePhase(
        actor="scheduler",
        trigger=ledger.trigger.id,
        phase_id=ledger.trigger.current_run.phase.id,
        cleared_revision=len(ledger.events),
    )


def a_pause(ledger: Ledger) -> FeatureCommand:
    phase = ledger.trigger.current_run.phase.id
    return PauseTrigger(actor="ada", trigger=ledger.trigger.id, phase_id=phase)


async def test_no_deadline_is_dropped_for_an_older_event() -> None:
    """It was answered as unchanged: the release stood still for ever."""
    ledger = a_release()

    with pytest.raises(Unavailable, match="was read to 1 only, not to the event that is due"):
        await a_processor(ledger, ALWAYS).process(an_advance(ledger))


async def test_a_deadline_is_dropped_for_a_newer_event_whose_revision_is_said() -> None:
    ledger = a_release()
    due = an_advance(ledger)
    ledger.act(PauseTrigger, after_ms=1)

    reply = await a_processor(ledger, 0).process(due)

    assert (reply.outcome, reply.revision) == (Outcome.UNCHANGED, len(ledger.events))


async def test_nobody_is_refused_because_an_older_state_was_read() -> None:
    ledger = a_release()

    reply = await a_processor(ledger, 1).process(a_pause(ledger))

    assert reply.outcome is Outcome.ACCEPTED


async def test_a_log_that_stays_behind_is_unavailable_and_refuses_nothing() -> None:
    ledger = a_release()

    with pytest.raises(Unavailable):
        await a_processor(ledger, ALWAYS).process(a_pause(ledger))


async def test_who_asks_for_a_state_gets_the_newest_one() -> None:
    ledger = a_release()

    reply = await a_processor(ledger, ALWAYS, View(ledger, lag=1)).newest(ledger.feature.key)

    assert (reply.outcome, reply.feature, reply.revision) == (
        Outcome.UNCHANGED,
        ledger.feature,
        len(ledger.events),
    )


def an_unpause(ledger: Ledger) -> FeatureCommand:
    """Return a command that the newest state of a paused release allows, and the one before it does not."""
    ledger.act(PauseTrigger)
    phase = ledger.trigger.current_run.phase.id
    return UnpauseTrigger(actor="ada", trigger=ledger.trigger.id, phase_id=phase)


@pytest.mark.parametrize("size", [0, 2 * PARSED_AT_ONCE_BYTES])
async def test_who_asks_for_a_state_while_the_newest_message_is_invalid_is_to_ask_again(size: int) -> None:
    ledger, noticed = a_release(), list[int]()
    view = View(ledger)
    parsed = ParsedEvents()
    parsed.on_invalid = lambda key, sequence, reason: noticed.append(sequence)
    view._entry = FeatureEntry(ledger.feature.key, 9, {}, data=b"{}" + b" " * size, parsed=parsed)

    with pytest.raises(Unavailable, match="is invalid"):
        await a_processor(ledger, 0, view).newest(ledger.feature.key)
    assert noticed == [9]


async def test_a_large_state_that_is_asked_for_is_parsed_once_beside_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop is for everybody; who may only look could ask for many of them."""
    ledger, threads = a_release(), list[str]()
    view, event = View(ledger), ledger.events[-1]
    view._entry = FeatureEntry(
        event.feature.key, 2, headers_of(event, ""), data=event.to_json(), parsed=ParsedEvents(1)
    )
    processor = a_processor(ledger, 0, view)
    monkeypatch.setattr(command_processor, "PARSED_AT_ONCE_BYTES", 10)

    def parse(data: bytes, key: FeatureKey) -> FeatureEvent:
        threads.append(threading.current_thread().name)
        return parse_event(data, key)

    monkeypatch.setattr(command_processor, "parse_event", parse)
    monkeypatch.setattr(feature_entry, "parse_event", parse)

    for _ in range(2):
        reply = Reply.read((await processor.newest(ledger.feature.key)).to_json())
        assert (reply.feature, reply.revision) == (ledger.feature, 2)
        assert reply.revision_tag == LoggedEvent(2, event).revision_tag

    assert [name.partition("_")[0] for name in threads] == ["side"]


async def test_nobody_is_refused_by_a_broker_that_was_cut_off_and_has_told_its_follower_nothing() -> None:
    ledger = a_release()
    command = an_unpause(ledger)

    reply = await a_processor(ledger, 1, View(ledger, lag=1)).process(command)

    assert reply.outcome is Outcome.ACCEPTED


async def test_nobody_is_refused_while_no_broker_proves_that_it_has_the_newest_state() -> None:
    ledger = a_release()
    command = an_unpause(ledger)
    processor = a_processor(ledger, ALWAYS, View(ledger, lag=1, quorum_lost=Unavailable("no quorum")))

    with pytest.raises(Unavailable, match="no quorum"):
        await processor.process(command)
    with pytest.raises(Unavailable, match="no quorum"):
        await processor.newest(command.key)
