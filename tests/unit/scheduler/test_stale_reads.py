"""A scheduler to whom the log answers with an older state than it knows: nothing follows from that."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytest

from services.scheduler.command_processor import CommandProcessor
from services.scheduler.side_thread import SideThread
from sluiceway.contracts.commands import AdvancePhase, FeatureCommand, PauseTrigger
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.replies import Outcome
from sluiceway.errors import Conflict, Unavailable
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_log import EncodedEvent, FeatureLog, LoggedEvent, LogTail, headers_of
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
    """What the scheduler has followed: the newest event."""

    def __init__(self, ledger: Ledger) -> None:
        event = ledger.events[-1]
        data, sequence = event.to_json(), len(ledger.events)
        self._entry = FeatureEntry(event.feature.key, sequence, headers_of(event, ""), data=data)

    def get(self, key: FeatureKey) -> FeatureEntry:
        return self._entry

    parse = None

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


def a_processor(ledger: Ledger, old_answers: int) -> CommandProcessor:
    view, documents = View(ledger), Documents(ledger)
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

    reply = await a_processor(ledger, 0).newest(ledger.feature.key)

    assert (reply.outcome, reply.feature, reply.revision) == (
        Outcome.UNCHANGED,
        ledger.feature,
        len(ledger.events),
    )
    with pytest.raises(Unavailable, match="was read to 1 only, and more is known"):
        await a_processor(ledger, 1).newest(ledger.feature.key)
