"""A scheduler that was frozen: its views are old, and so are the commands in its socket."""

from typing import Any

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import FeatureCommand, SaveFeature
from sluiceway.contracts.feature import RECENT_COMMANDS_MAX
from sluiceway.contracts.replies import Outcome
from sluiceway.messaging.applied_commands import AppliedCommands
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.stream_records import Record
from tests.support.builders import Ledger, a_catalogue, a_gate

from .test_stale_reads import View, a_processor

OTHERS = RECENT_COMMANDS_MAX + 1


class FollowingView(View):
    """A view that remembers the commands of what it has followed."""

    references = a_catalogue().references

    def __init__(self, ledger: Ledger, lag: int) -> None:
        self.applied = AppliedCommands()
        self.caught_up = 0
        super().__init__(ledger, lag)

    def _follow(self, sequence: int) -> None:
        super()._follow(sequence)
        for number, event in enumerate(self._ledger.events[:sequence], 1):
            subject = subjects.feature(event.feature.key)
            self.applied.add(Record(subject, number, event.time_ms, b"", headers_of(event, "")))

    async def catch_up(self) -> None:
        self.caught_up += 1
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
    assert view.caught_up == 0


async def test_a_late_copy_is_not_applied_by_a_scheduler_that_reads_on_afterwards() -> None:
    ledger, first = a_busy_gate()
    view = FollowingView(ledger, lag=OTHERS + 1)

    reply = await a_processor(ledger, 0, view).process(first)

    assert (reply.outcome, reply.revision) == (Outcome.UNCHANGED, len(ledger.events))


async def test_the_reply_to_a_late_copy_has_a_state_that_includes_it() -> None:
    ledger, _ = a_busy_gate()
    view = FollowingView(ledger, lag=1)  # it follows the last one after it has read the one before

    reply = await a_processor(ledger, 1, view).process(a_save(OTHERS))

    assert (reply.outcome, reply.revision) == (Outcome.UNCHANGED, len(ledger.events))


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
