"""What a command costs the broker: a write, and a look at the catalogue if it may start a phase."""

import asyncio
from typing import Any

import msgspec
import pytest

from services.scheduler.command_processor import DECIDED_IN_A_ROW, CommandProcessor
from services.scheduler.side_thread import SideThread
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import (
    AdvancePhase,
    ExtendBake,
    PauseTrigger,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import RECENT_COMMANDS_MAX, Feature
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.replies import Outcome, RefusalCode, Reply
from sluiceway.messaging import feature_entry, feature_log, feature_view
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.feature_log import FeatureLog, headers_of, parse_event
from sluiceway.messaging.message_size import OutgoingMessage
from sluiceway.messaging.publishing import EXPECTED_LAST
from sluiceway.messaging.stream_records import Record
from tests.support.answering_client import AnsweringClient, stored
from tests.support.builders import (
    EVERYONE,
    Ledger,
    a_catalogue,
    a_freeze,
    a_gate,
    a_phase,
    a_pipeline,
    a_release,
    happened,
)

AT_ONCE = 30
NEWEST = f"$JS.API.STREAM.MSG.GET.{subjects.FEATURES_STREAM}"
END = f"$JS.API.STREAM.INFO.{subjects.FEATURES_STREAM}"
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
        #: Subjects on which another writer was faster.
        self.refused: set[str] = set()
        self.unheard: FeatureEvent | None = None
        #: Whether an event is delivered before its writer knows that it is stored.
        self.delivers = True
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

    def newest_event(self, release: Ledger) -> FeatureEvent:
        entry = self.features.get(release.feature.key)
        assert entry
        return entry.event

    def store_unheard(self, event: FeatureEvent) -> None:
        """Let another scheduler store an event that this one has not received yet."""
        self.sequence += 1
        self.unheard = event

    def deliver_unheard(self) -> None:
        assert self.unheard
        event, self.unheard = self.unheard, None
        headers, subject = headers_of(event, ""), subjects.feature(event.feature.key)
        self.features._on_record(Record(subject, self.sequence, 0, event.to_json(), headers))

    def _answer(self, message: OutgoingMessage) -> bytes:
        if message.subject in (CATALOGUE_END, END):
            return b'{"state":{"last_seq":0}}'
        if message.subject == NEWEST:
            assert self.unheard
            stored_message = {"seq": self.sequence, "data": self.unheard.to_json()}
            return msgspec.json.encode({"message": stored_message})
        is_conflict = self.unheard and f"{EXPECTED_LAST}: {self.sequence}\r\n".encode() not in message.headers
        if is_conflict or message.subject in self.refused:
            return b'{"error":{"code":400,"err_code":10071,"description":"wrong last sequence"}}'
        lines = message.headers.decode().split("\r\n")[1:-2]
        if self.delivers:
            self._deliver(message.subject, message.data, dict(line.split(": ", 1) for line in lines))
        else:
            self.sequence += 1
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


async def test_commands_in_a_row_about_a_feature_ask_nothing_before_their_events_are_followed() -> None:
    release = a_release()
    scheduler = Scheduler(release)
    scheduler.delivers = False
    commands = [a_command(ExtendBake, release) for _ in range(AT_ONCE)]

    sent = [await scheduler.send(command) for command in commands]

    assert sent == [[subjects.feature(release.feature.key)]] * AT_ONCE


async def test_a_command_of_ones_own_that_is_forgotten_is_known_before_its_event_is_followed() -> None:
    release = a_release()
    scheduler = Scheduler(release)
    scheduler.delivers = False
    commands = [a_command(ExtendBake, release) for _ in range(RECENT_COMMANDS_MAX + 1)]
    for command in commands:
        await scheduler.send(command)
    scheduler.unheard = scheduler.newest_event(release)

    reply = await scheduler.processor.process(commands[0])

    assert (reply.outcome, reply.revision) == (Outcome.UNCHANGED, scheduler.sequence)


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


async def test_what_another_scheduler_wrote_is_one_read_at_the_leader_and_parsed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release, parsed = a_release(), list[bytes]()
    scheduler = Scheduler(release)
    await scheduler.send(a_command(PauseTrigger, release))
    release.events.append(scheduler.newest_event(release))
    scheduler.store_unheard(happened(release.act(UnpauseTrigger, reason="by another")))

    def count(data: bytes, key: FeatureKey | None = None) -> FeatureEvent:
        parsed.append(data)
        return parse_event(data, key)

    for module in (feature_entry, feature_log, feature_view):
        monkeypatch.setattr(module, "parse_event", count)

    sent = await scheduler.send(a_command(ExtendBake, release))
    scheduler.deliver_unheard()

    append = subjects.feature(release.feature.key)
    assert sent == [append, NEWEST, append]
    assert len(parsed) == 1


async def test_a_refusal_reads_the_newest_event_and_the_end_of_the_log_and_parses_nothing_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = a_release()
    scheduler = Scheduler(release)
    await scheduler.send(a_command(PauseTrigger, release))
    scheduler.unheard = scheduler.newest_event(release)

    def refuse(*_: Any) -> FeatureEvent:
        raise AssertionError("an event that is known is parsed")

    for module in (feature_entry, feature_log, feature_view):
        monkeypatch.setattr(module, "parse_event", refuse)

    reply = await scheduler.processor.process(a_command(PauseTrigger, release))

    assert reply.refusal
    assert reply.refusal.code is RefusalCode.NOT_POSSIBLE
    sent = [message.subject for write in scheduler.client.writes for message in write]
    assert sent[-2:] == [NEWEST, END]


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


def an_advance(release: Ledger) -> AdvancePhase:
    return AdvancePhase(
        id=f"advance-{release.trigger.id}",
        actor="scheduler",
        trigger=release.trigger.id,
        phase_id="dev",
        cleared_revision=None,
    )


def due_releases(count: int) -> list[Ledger]:
    """Return as many releases whose first phase bakes for no time."""
    releases = []
    for number in range(count):
        release = Ledger(a_catalogue(a_pipeline(a_phase("dev", bake_ms=0), a_phase("prod"))))
        release.save(a_gate(EVERYONE, name=f"gate{number}", releasePipelineID="release"))
        releases.append(release)
    return releases


async def test_phases_that_are_due_together_are_one_look_at_the_catalogue_and_one_write() -> None:
    releases = due_releases(AT_ONCE)
    scheduler = Scheduler(*releases)

    replies = await scheduler.processor.process_together([an_advance(release) for release in releases])

    assert {reply.outcome for reply in replies.values()} == {Outcome.ACCEPTED}
    assert [len(write) for write in scheduler.client.writes] == [1, AT_ONCE]
    stored = {entry.event.type for entry in scheduler.features if entry.sequence > AT_ONCE}
    assert (stored, len(replies)) == ({EventType.PHASE_ADVANCED}, AT_ONCE)


async def test_a_phase_that_another_writer_was_faster_with_is_left_out_and_no_other() -> None:
    releases = due_releases(3)
    scheduler = Scheduler(*releases)
    scheduler.refused.add(subjects.feature(releases[1].feature.key))

    replies = await scheduler.processor.process_together([an_advance(release) for release in releases])

    assert replies.keys() == {an_advance(releases[0]).id, an_advance(releases[2]).id}


async def test_nothing_is_stored_together_if_the_catalogue_changes_while_it_is_decided() -> None:
    releases = due_releases(DECIDED_IN_A_ROW + 1)
    scheduler = Scheduler(*releases)
    deciding = asyncio.create_task(
        scheduler.processor.process_together([an_advance(release) for release in releases])
    )
    for _ in range(2):
        await asyncio.sleep(0)  # the first of them are decided

    freeze = a_freeze("quiet")
    scheduler.catalogue._on_record(
        Record(subjects.catalogue("freeze", freeze.name), 1, 0, freeze.to_json(), {})
    )
    replies = await deciding

    assert replies == {}
    assert len(scheduler.features) == scheduler.sequence == len(releases)


async def test_what_needs_a_second_look_is_not_stored_together() -> None:
    held, outdated, due = due_releases(3)
    scheduler = Scheduler(held, outdated, due)
    commands = [
        an_advance(held).model_copy(update={"phase_id": "prod"}),
        an_advance(outdated).model_copy(update={"cleared_revision": 1}),
        an_advance(due),
        an_advance(a_release_of("unknown")),
    ]

    replies = await scheduler.processor.process_together(commands)

    assert replies.keys() == {an_advance(due).id}


async def test_phases_that_stay_held_are_neither_read_in_the_log_nor_looked_at_in_the_catalogue() -> None:
    held, newly_held = due_releases(2)
    happened(held.act(AdvancePhase, holds=("errors",)))
    scheduler = Scheduler(held, newly_held)
    commands = [
        an_advance(held).model_copy(update={"holds": ("errors",)}),
        an_advance(newly_held).model_copy(update={"holds": ("errors",)}),
    ]

    first = await scheduler.processor.process_together(commands)
    scheduler.client.writes.clear()
    again = await scheduler.processor.process_together(commands)

    assert [reply.outcome for reply in first.values()] == [Outcome.UNCHANGED, Outcome.ACCEPTED]
    assert [reply.outcome for reply in again.values()] == [Outcome.UNCHANGED] * 2
    assert [reply.feature.trigger.held for reply in again.values() if reply.feature and reply.feature.trigger]
    assert scheduler.client.writes == []


async def test_a_held_phase_that_is_cleared_is_left_together_with_others() -> None:
    held, due = due_releases(2)
    happened(held.act(AdvancePhase, holds=("errors",)))
    scheduler = Scheduler(held, due)

    replies = await scheduler.processor.process_together([an_advance(held), an_advance(due)])

    assert [reply.outcome for reply in replies.values()] == [Outcome.ACCEPTED] * 2
    assert {entry.event.type for entry in scheduler.features} == {EventType.PHASE_ADVANCED}
