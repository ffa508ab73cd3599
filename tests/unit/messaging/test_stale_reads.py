"""Replicas of a stream may be behind: nothing is decided by what they say."""

import base64
import json
from collections.abc import AsyncIterator

import pytest

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import Command
from sluiceway.contracts.feature import FeatureDocument
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.contracts.revisions import revision_tag
from sluiceway.errors import Unavailable
from sluiceway.messaging import feature_log
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_edits import FeatureEdit, FeatureReading, send_edit
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.stream_records import Record
from sluiceway.pipelines import refusals
from tests.support.answering_client import AnsweringClient
from tests.support.builders import EVERYONE, Ledger, a_gate


def a_ledger() -> Ledger:
    """Return a gate that was saved twice."""
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE))
    ledger.save(a_gate(EVERYONE, description="newer"))
    return ledger


def a_log(newest: bytes) -> FeatureLog:
    """Return a log whose leader says that this is its newest message, number 9."""
    stored = {"seq": 9, "time": "2026-11-28T19:31:44Z", "data": base64.b64encode(newest).decode()}
    answer = json.dumps({"message": stored}).encode()
    asked = f"$JS.API.STREAM.MSG.GET.{subjects.FEATURES_STREAM}"
    client = AnsweringClient(lambda message: answer if message.subject == asked else None)
    return FeatureLog(Connection(client), "/tests")


def replicated(monkeypatch: pytest.MonkeyPatch, *records: tuple[int, bytes]) -> None:
    """Let a replica have these messages, and no others."""

    async def read_records(*_: object, **__: object) -> AsyncIterator[Record]:
        for sequence, data in records:
            yield Record("", sequence, 0, data, {})

    monkeypatch.setattr(feature_log, "read_records", read_records)


async def test_the_end_of_the_log_is_read_at_the_leader() -> None:
    ledger = a_ledger()

    tail = await a_log(ledger.events[-1].to_json()).newest_tail(ledger.feature.key)

    assert tail.logged
    assert (tail.logged.event, tail.sequence) == (ledger.events[-1], 9)


async def test_the_event_before_an_invalid_message_is_not_taken_from_a_replica_that_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = a_ledger()
    older, newer = (event.to_json() for event in ledger.events)
    log = a_log(b"{}")

    replicated(monkeypatch, (7, older))
    with pytest.raises(Unavailable, match="to 9 yet, only to 7"):
        await log.newest_tail(ledger.feature.key)
    replicated(monkeypatch, (7, older), (8, newer), (9, b"{}"))
    tail = await log.newest_tail(ledger.feature.key)

    assert tail.logged
    assert (tail.logged.event, tail.sequence) == (ledger.events[-1], 9)


async def test_events_that_a_replica_lacks_are_not_left_out_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = a_ledger()
    replicated(monkeypatch, (7, ledger.events[0].to_json()))
    events = a_log(b"").between(6, 8)

    assert (await anext(events)).sequence == 7
    with pytest.raises(Unavailable, match="to 8 yet, only to 7"):
        await anext(events)


class Scheduler:
    """Refuses an edit of a state that is not the newest one, and then accepts it."""

    def __init__(self, newest: FeatureReading) -> None:
        self._newest = newest
        self.edits: list[Command] = []

    async def send(self, command: Command) -> Reply:
        self.edits.append(command)
        feature, revision, _ = self._newest
        if command.expected_revision == revision:
            return Reply(outcome=Outcome.ACCEPTED, feature=feature)
        refusal = refusals.stale("gate.checkout", "1-a", revision)
        return Reply(outcome=Outcome.REFUSED, feature=feature, revision_tag=revision, refusal=refusal)


@pytest.mark.parametrize("may_be_old", [True, False])
async def test_who_may_not_ask_the_leader_is_not_refused_for_what_a_replica_lacks(may_be_old: bool) -> None:
    """Both have changed the description; the older state is what a replica said, not what anybody saw."""
    ledger = a_ledger()
    old, new = (
        FeatureReading(event.feature, revision_tag(sequence, "command", 0), may_be_old)
        for sequence, event in enumerate(ledger.events, 1)
    )

    def change(document: FeatureDocument) -> FeatureDocument:
        return document.model_copy(update={"description": "mine"})

    scheduler = Scheduler(new)

    reply = await send_edit(scheduler.send, FeatureEdit(id="e", actor="ada", change=change), old)

    assert reply.outcome is (Outcome.ACCEPTED if may_be_old else Outcome.REFUSED)
