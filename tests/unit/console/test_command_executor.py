"""What the console says of a command, whatever its views know already."""

import asyncio
from typing import Any, cast

import pytest

from services.console.command_executor import CommandExecutor
from services.console.preconditions import ANY_REVISION, Preconditions
from sluiceway.contracts.commands import Command, SaveFeature
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.replies import Outcome, RefusalCode, Reply
from sluiceway.errors import Unavailable
from sluiceway.http.etags import tag_condition
from sluiceway.messaging.feature_edits import FeatureEdit
from sluiceway.messaging.feature_entry import FeatureEntry
from sluiceway.messaging.feature_log import headers_of
from tests.support.builders import EVERYONE, Ledger, a_catalogue, a_gate


class LateView:
    """A view that knows the newest event only once it has caught up."""

    def __init__(self, ledger: Ledger) -> None:
        self._entries = [
            FeatureEntry(event.feature.key, sequence, headers_of(event, ""), data=event.to_json())
            for sequence, event in enumerate(ledger.events, start=1)
        ]
        self.known = self._entries[0]

    def get(self, key: FeatureKey) -> FeatureEntry:
        return self.known

    async def catch_up(self) -> None:
        self.known = self._entries[-1]


class LostLog:
    async def at(self, sequence: int) -> None:
        raise Unavailable(f"cannot read {sequence}")


async def test_what_others_have_saved_is_told_also_if_the_scheduler_knows_it_first() -> None:
    ledger = Ledger(a_catalogue())
    ledger.save(a_gate(EVERYONE))
    ledger.save(a_gate(EVERYONE, description="changed by another user"))
    view: Any = LateView(ledger)
    executor = CommandExecutor(cast(Any, None), cast(Any, None), cast(Any, LostLog()), view, cast(Any, None))
    command = SaveFeature(actor="ada", feature=a_gate(EVERYONE), expected_revision=view.known.revision_tag)

    refusal = await executor.stale_refusal(command)

    assert refusal
    assert refusal.code is RefusalCode.STALE


class StalledView(LateView):
    """A view of a stream whose broker elects a leader: it catches up at the third attempt."""

    attempts = 0

    async def catch_up(self) -> None:
        self.attempts += 1
        if self.attempts % 3:
            raise Unavailable("no leader")
        await super().catch_up()


class Commands:
    """A scheduler that accepts everything, or never answers."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers

    async def send(self, command: Command) -> Reply:
        if not self._answers:
            await asyncio.get_running_loop().create_future()
        return Reply(outcome=Outcome.ACCEPTED)


def an_executor(view: Any, commands: Commands) -> CommandExecutor:
    return CommandExecutor(cast(Any, None), cast(Any, commands), cast(Any, LostLog()), view, cast(Any, None))


async def test_an_edit_goes_on_when_the_broker_has_a_leader_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluiceway.messaging.stall_retries.PAUSE_SECONDS", (0.001, 0.001))
    ledger = Ledger(a_catalogue())
    ledger.save(a_gate(EVERYONE))
    view = StalledView(ledger)
    edit = FeatureEdit(id="e", actor="ada", change=lambda document: document)

    reply = await an_executor(view, Commands(answers=True)).edit_feature(
        view.known.key, edit, Identity(name="ada", grants=(), vouched_by="console"), ANY_REVISION
    )

    assert reply.outcome is Outcome.ACCEPTED
    assert view.attempts == 6  # before the command, and after it


async def test_a_request_that_nobody_answers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.console.command_executor.REQUEST_SECONDS_MAX", 0.01)
    ledger = Ledger(a_catalogue())
    ledger.save(a_gate(EVERYONE))
    caller = Identity(name="ada", grants=(), vouched_by="console")
    command = SaveFeature(actor="ada", feature=a_gate(EVERYONE))

    with pytest.raises(Unavailable, match=r"no answer to save_feature in .*; it may have been applied"):
        await an_executor(LateView(ledger), Commands(answers=False)).execute(command, caller, ANY_REVISION)


async def test_nobody_is_refused_because_this_console_has_not_followed_what_they_have_read() -> None:
    """They have read the newest revision at another console, which this one does not know yet."""
    ledger = Ledger(a_catalogue())
    ledger.save(a_gate(EVERYONE))
    ledger.save(a_gate(EVERYONE, description="newer"))
    view = LateView(ledger)
    read = FeatureEntry(
        view.known.key, 2, headers_of(ledger.events[-1], ""), data=ledger.events[-1].to_json()
    ).revision_tag
    caller = Identity(name="ada", grants=(), vouched_by="console")
    command = SaveFeature(actor="ada", feature=a_gate(EVERYONE, description="mine"))

    reply = await an_executor(view, Commands(answers=True)).execute(
        command, caller, Preconditions(match=tag_condition([f'"{read}"']))
    )

    assert reply.outcome is Outcome.ACCEPTED
