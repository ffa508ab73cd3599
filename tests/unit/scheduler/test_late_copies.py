"""A scheduler that was frozen: its views are old, and so are the commands in its socket."""

from typing import Any

import pytest

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.commands import FeatureCommand, SaveFeature, UnpauseTrigger
from sluiceway.contracts.feature import RECENT_COMMANDS_MAX, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.replies import Outcome
from sluiceway.errors import Unavailable
from sluiceway.messaging.applied_commands import AppliedCommands
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.stream_records import Record
from tests.support.builders import Ledger, a_catalogue, a_gate, a_release, happened

from .test_stale_reads import ALWAYS, View, a_pause, a_processor

OTHERS = RECENT_COMMANDS_MAX + 1


class FollowingView(View):
    """A view that remembers the commands of what it has followed."""

    references = a_catalogue().references

    def __init__(self, ledger: Ledger, lag: int, quorum_lost: Unavailable | None = None) -> None:
        self.applied = AppliedCommands()
        self.caught_up = 0
        #: Whether it is found next time that the log went back.
        self.is_lost = False
        super().__init__(ledger, lag, quorum_lost)

    def _follow(self, sequence: int) -> None:
        super()._follow(sequence)
        for number, event in enumerate(self._ledger.events[:sequence], 1):
            subject = subjects.feature(event.feature.key)
            self.applied.add(Record(subject, number, event.time_ms, b"", headers_of(event, "")))

    def get(self, key: FeatureKey) -> FeatureEntry | None:
        return self._entry if self._entry.sequence else None

    async def catch_up(self) -> None:
        self.caught_up += 1
        if self.is_lost:
            self.is_lost = False
            self.resets += 1
            self.applied.clear()
        await super().catch_up()

    def has_applied(self, command: FeatureCommand) -> bool:
        return self.applied.has(subjects.feature(command.key), command.idempotency_key)


def a_busy_gate() -> tuple[Ledger, SaveFeature]:
    """Return a gate that was saved by a command, and then by more others than it remembers."""
    ledger = Ledger(a_catalogue())
    first = a_save(0)
    for command in (first, *map(a_save, range(1, OTHERS + 1))):
        ledger.decide(command)
    return ledger, first


def a_save(number: int) -> SaveFeature:
    return SaveFeature(id=f"save-{number}", actor="ada", feature=a_gate(description=str(number)))


async def test_a_late_copy_is_not_applied_by_a_scheduler_that_has_read_on() -> None:
    ledger, first = a_busy_gate()
    view = FollowingView(ledger, lag=0)

    reply = await a_processor(ledger, 0, view).process(first)

    assert (reply.outcome, reply.revision) == (Outcome.UNCHANGED, len(ledger.events))
    assert view.caught_up == 1, "no append proves that this is the newest state, so the leader is asked"


async def test_a_late_copy_is_not_applied_by_a_scheduler_that_reads_on_afterwards() -> None:
    ledger, first = a_busy_gate()
    view = FollowingView(ledger, lag=OTHERS + 1)

    reply = await a_processor(ledger, 0, view).process(first)

    assert (reply.outcome, reply.revision) == (Outcome.UNCHANGED, len(ledger.events))


async def test_a_late_copy_is_not_applied_after_a_large_event_that_left_commands_out_and_others() -> None:
    ledger = Ledger(a_catalogue())
    first = a_save(0)
    for command in (first, a_save(1)):
        ledger.decide(command)
    large = ledger.events[-1]
    trimmed = large.feature.changed(recent_commands=large.feature.recent_commands[-1:])
    ledger.events[-1] = large.model_copy(update={"feature": trimmed})
    ledger.decide(a_save(2))
    view = FollowingView(ledger, lag=len(ledger.events))

    reply = await a_processor(ledger, 0, view).process(first)

    assert (reply.outcome, reply.revision) == (Outcome.UNCHANGED, len(ledger.events))


async def test_the_reply_to_a_late_copy_has_a_state_that_includes_it() -> None:
    ledger, _ = a_busy_gate()
    view = FollowingView(ledger, lag=1)  # it follows the last one after it has read the one before

    reply = await a_processor(ledger, 1, view).process(a_save(OTHERS))

    assert (reply.outcome, reply.revision) == (Outcome.UNCHANGED, len(ledger.events))


async def test_who_sends_a_pause_again_is_not_told_of_a_state_that_others_have_changed_since() -> None:
    """A monitor that repeats an alert was told that the release is paused, and left it at that."""
    ledger = a_release()
    pause = a_pause(ledger)
    happened(ledger.decide(pause))
    happened(ledger.act(UnpauseTrigger))
    view = FollowingView(ledger, lag=1)

    reply = await a_processor(ledger, 1, view).process(pause)

    assert (reply.outcome, reply.revision) == (Outcome.UNCHANGED, len(ledger.events))
    assert reply.feature
    assert reply.feature.trigger
    assert reply.feature.trigger.status is TriggerStatus.IN_PROGRESS


async def test_nobody_is_told_that_a_command_was_applied_while_no_broker_proves_the_end_of_the_log() -> None:
    ledger, first = a_busy_gate()
    view = FollowingView(ledger, lag=1, quorum_lost=Unavailable("no quorum"))

    with pytest.raises(Unavailable, match="no quorum"):
        await a_processor(ledger, ALWAYS, view).process(first)


async def test_a_command_of_a_history_that_is_lost_is_applied_again() -> None:
    ledger = Ledger(a_catalogue())
    for number in range(3):
        ledger.decide(a_save(number))
    view = FollowingView(ledger, lag=0)
    lost = a_save(OTHERS)
    headers = {envelope.COMMAND: lost.idempotency_key.scoped_id}
    view.applied.add(Record(subjects.feature(lost.key), 4, 1, b"", headers))
    view.is_lost = True

    reply = await a_processor(ledger, 0, view).process(lost)

    assert reply.outcome is Outcome.ACCEPTED


async def test_what_was_followed_before_a_stream_went_back_is_forgotten() -> None:
    ledger, first = a_busy_gate()
    view: Any = FollowingView(ledger, lag=0)

    view.applied.clear()

    assert not view.has_applied(first)


def test_the_newest_commands_are_remembered() -> None:
    ledger, first = a_busy_gate()
    applied, subject = AppliedCommands(remembered_max=OTHERS), subjects.feature(first.key)

    for number, event in enumerate(ledger.events, 1):
        applied.add(Record(subject, number, event.time_ms, b"", headers_of(event, "")))
    applied.add(Record(subject, OTHERS + 2, 1, b"", {}))  # an older version wrote no such header

    assert not applied.has(subject, first.idempotency_key)
    assert applied.has(subject, a_save(1).idempotency_key)
    assert applied.has(subject, a_save(OTHERS).idempotency_key)
    assert not applied.has("another", a_save(OTHERS).idempotency_key)
