"""What a command costs the broker: a write, and a look at the catalogue if it may start a phase."""

import asyncio
from typing import Any

import pytest

from services.scheduler.command_processor import CommandProcessor
from services.scheduler.side_thread import SideThread
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import PauseTrigger, TriggerCommand, UnpauseTrigger
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.messaging import feature_entry
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.feature_log import FeatureLog, headers_of
from sluiceway.messaging.message_size import OutgoingMessage
from sluiceway.messaging.stream_records import Record
from tests.support.answering_client import AnsweringClient, stored
from tests.support.builders import EVERYONE, Ledger, a_gate, a_release

AT_ONCE = 30
CATALOGUE_END = f"$JS.API.STREAM.INFO.{subjects.CATALOG_STREAM}"


class Scheduler:
    """A scheduler's processor with a broker that stores each event, and delivers it before it says so."""

    def __init__(self, *releases: Ledger) -> None:
        self.client = AnsweringClient(self._answer)
        connection = Connection(self.client)
        self.log = FeatureLog(connection, "/tests")
        self.features, self.catalogue = DecisionView(connection, self.log), CatalogueView(connection)
        for view in (self.features, self.catalogue):
            view.follower._caught_up.set()
        self.sequence = 0
        for release in releases:
            event = release.events[-1]
            self._deliver(subjects.feature(event.feature.key), event.to_json(), headers_of(event, ""))
        now_ms = releases[0].now + 1
        self.processor = CommandProcessor(
            self.log, self.features, self.catalogue, lambda: now_ms, SideThread()
        )

    async def send(self, *commands: TriggerCommand) -> list[str]:
        """Process commands at the same moment; return the subjects of all that was sent to the broker."""
        self.client.writes.clear()
        replies = await asyncio.gather(*map(self.processor.process, commands))
        assert [reply.outcome for reply in replies] == [Outcome.ACCEPTED] * len(commands)
        return [message.subject for write in self.client.writes for message in write]

    def _answer(self, message: OutgoingMessage) -> bytes:
        if message.subject == CATALOGUE_END:
            return b'{"state":{"last_seq":0}}'
        lines = message.headers.decode().split("\r\n")[1:-2]
        self._deliver(message.subject, message.data, dict(line.split(": ", 1) for line in lines))
        return stored(self.sequence)

    def _deliver(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        self.sequence += 1
        self.features._on_record(Record(subject, self.sequence, 0, data, headers))


def a_release_of(name: str) -> Ledger:
    ledger = Ledger()
    ledger.save(a_gate(EVERYONE, name=name, releasePipelineID="release"))
    return ledger


def a_command(model: type[TriggerCommand], release: Ledger) -> TriggerCommand:
    return model.model_validate({"actor": "ada", "trigger": release.trigger.id, "phaseID": "dev"})


async def test_a_pause_is_one_conditional_write() -> None:
    release = a_release()

    sent = await Scheduler(release).send(a_command(PauseTrigger, release))

    assert sent == [subjects.feature(release.feature.key)]


async def test_what_may_start_a_phase_is_one_look_at_the_catalogue_more() -> None:
    release = a_release()
    scheduler = Scheduler(release)
    await scheduler.send(a_command(PauseTrigger, release))

    sent = await scheduler.send(a_command(UnpauseTrigger, release))

    assert sent == [CATALOGUE_END, subjects.feature(release.feature.key)]


async def test_commands_at_the_same_moment_share_that_look() -> None:
    releases = [a_release_of(f"gate{number}") for number in range(AT_ONCE)]
    scheduler = Scheduler(*releases)
    await scheduler.send(*(a_command(PauseTrigger, release) for release in releases))

    sent = await scheduler.send(*(a_command(UnpauseTrigger, release) for release in releases))

    assert sent.count(CATALOGUE_END) == 1
    assert len(sent) == 1 + AT_ONCE


async def test_a_state_is_encoded_once_for_event_and_reply_and_never_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release, encoded = a_release(), list[Feature]()
    scheduler = Scheduler(release)
    await scheduler.send(a_command(PauseTrigger, release))  # parses what was read of the log
    to_stored_json = Feature.to_stored_json

    def count(feature: Feature) -> bytes:
        encoded.append(feature)
        return to_stored_json(feature)

    def refuse(*_: Any) -> Reply:
        raise AssertionError("an event of its own is parsed")

    monkeypatch.setattr(Feature, "to_stored_json", count)
    monkeypatch.setattr(feature_entry, "parse_event", refuse)

    for model in (UnpauseTrigger, PauseTrigger) * 3:
        reply = await scheduler.processor.process(a_command(model, release))
        assert Reply.model_validate_json(reply.to_json()).feature == reply.feature

    assert len(encoded) == 6
