"""In which order an alert is answered: its command before any request, its record after the complete look."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.monitor import alert_handler
from services.monitor.alert_handler import AlertHandler
from services.monitor.alert_matcher import AlertMatcher
from services.monitor.watched_releases import WatchedReleases
from sluiceway.contracts import subjects
from sluiceway.contracts.alert_sources import AlertSource
from sluiceway.contracts.alerts import Alert, AlertOutcome, AnsweredAlert
from sluiceway.contracts.commands import AbortTrigger, Command, PauseTrigger, SkipPhase, TriggerCommand
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.measurements import VerdictChanged
from sluiceway.contracts.replies import Outcome, Refusal, RefusalCode, Reply
from sluiceway.errors import RetryLater, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.messaging.stream_records import Position
from sluiceway.pipelines import refusals
from sluiceway.pipelines.decision import Catalogue
from tests.support.builders import EVERYONE, NOW, Ledger, a_catalogue, a_gate, a_phase, a_pipeline
from tests.support.waiting import eventually

PAGER = {"name": "pager", "alert": {"matchLabels": {"team": "a"}}}
REFUSED = Reply(outcome=Outcome.REFUSED, refusal=refusals.unknown_trigger("gate.checkout.1"))


class Features(FeatureView):
    """A view that lacks some events until it catches up."""

    def __init__(self, watched: WatchedReleases, steps: list[str]) -> None:
        self.watched, self.steps = watched, steps
        self.entries: dict[FeatureKey, FeatureEntry] = {}
        self.unseen: list[FeatureEvent] = []
        self.knows_it_is_behind = False
        self.may_catch_up = asyncio.Event()
        self.may_catch_up.set()

    @property
    def is_current(self) -> bool:
        return not self.knows_it_is_behind

    def see(self, event: FeatureEvent) -> None:
        key, known = event.feature.key, self.entries.get(event.feature.key)
        sequence = known.sequence + 1 if known else 1
        entry = self.entries[key] = FeatureEntry(key, sequence, headers_of(event, ""), data=event.to_json())
        self.watched.note(entry)

    def get(self, key: FeatureKey) -> FeatureEntry | None:
        return self.entries.get(key)

    async def catch_up(self) -> None:
        self.steps.append("catch up")
        await self.may_catch_up.wait()
        for event in self.unseen:
            self.see(event)
        self.unseen = []
        self.steps.append("caught up")


class Documents(CatalogueView):
    """A catalogue that is current."""

    def __init__(self) -> None:
        self.contents = Catalogue()
        self.unseen: Catalogue | None = None
        self.follower: Any = self
        self.position = Position("", 1)
        self.is_unavailable = False

    @property
    def is_current(self) -> bool:
        return True

    def catalogue(self) -> Catalogue:
        return self.contents

    async def catch_up(self) -> None:
        await asyncio.sleep(0)
        if self.is_unavailable:
            raise Unavailable("CATALOG does not answer")
        if self.unseen:
            self.contents, self.unseen, self.position = self.unseen, None, Position("", 2)


class Commands(CommandClient):
    """Answers commands; `on_sent` may change the answer."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.sent: list[TriggerCommand] = []
        self.on_sent: Callable[[TriggerCommand], Reply] = lambda command: Reply(outcome=Outcome.ACCEPTED)
        self.under_way = self.most_under_way = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def send(self, command: Command) -> Reply:
        assert isinstance(command, TriggerCommand)
        self.sent.append(command)
        self.steps.append(command.verb)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.may_answer.wait()
        await asyncio.sleep(0)
        self.under_way -= 1
        return self.on_sent(command)


class Records(MeasurementStore):
    """What is stored, in memory."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.answers: list[AnsweredAlert] = []

    async def store_answer(self, answered: AnsweredAlert) -> None:
        self.steps.append("answer")
        self.answers.append(answered)

    async def store_verdict(self, change: VerdictChanged) -> None:
        self.steps.append("verdict")


class Answering:
    """An alert handler on views of the test."""

    def __init__(self, *, requires_sources: bool = False) -> None:
        self.steps: list[str] = []
        watched = WatchedReleases(lambda: NOW)
        self.features, self.catalogue = Features(watched, self.steps), Documents()
        self.commands, self.records = Commands(self.steps), Records(self.steps)
        views = self.features, self.catalogue, watched
        matcher = AlertMatcher(*views, lambda: NOW, requires_sources=requires_sources)
        self.clock_problem: RetryLater | None = None
        self.handler = AlertHandler(matcher, self.commands, self.records, self._check_clock)

    def _check_clock(self) -> None:
        if self.clock_problem:
            raise self.clock_problem

    async def receive(self, starts_at: int | None = None, **labels: str) -> AnsweredAlert:
        alert = Alert(name="Slow", labels=labels, starts_at=starts_at)
        await self.handler.receive(alert, subjects.alert("tests"), 1, NOW)
        return self.records.answers[-1]


def phase_of(command: TriggerCommand) -> str | None:
    """Return the phase that a command is meant for; None if it is meant for any."""
    return command.phase_id if isinstance(command, PauseTrigger) else None


def a_release_of(name: str = "checkout", *guardrails: dict[str, Any]) -> Ledger:
    """Return the release of a gate through two phases."""
    phases = (a_phase("dev", guardrails=guardrails), a_phase("prod", guardrails=guardrails))
    ledger = Ledger(a_catalogue(a_pipeline(*phases)))
    ledger.save(a_gate(name=name))
    ledger.save(a_gate(EVERYONE, name=name, releasePipelineID="release"))
    return ledger


def a_pausing_release() -> Ledger:
    """Return a release whose phases are paused by an alert of team a."""
    return a_release_of("checkout", {**PAGER, "onFailure": "pause"})


async def test_the_command_is_sent_before_any_request_and_the_record_after_the_complete_look() -> None:
    answering = Answering()
    answering.features.see(a_release_of("checkout", PAGER).events[-1])

    answered = await answering.receive(team="a")

    assert (answering.steps[0], answering.steps[-1]) == ("roll_back", "answer")
    assert sorted(answering.steps[1:-1]) == ["catch up", "caught up", "verdict"]
    assert answered.triggers == ("gate.checkout.1",)


async def test_an_alert_is_not_answered_before_the_views_have_caught_up() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.features.may_catch_up.clear()

    receiving = asyncio.create_task(answering.receive(gate="checkout"))
    await eventually(lambda: "catch up" in answering.steps, "the view is being caught up")
    for _ in range(20):
        await asyncio.sleep(0)

    assert answering.steps == ["roll_back", "catch up"]
    answering.features.may_catch_up.set()
    assert (await receiving).outcome is AlertOutcome.MATCHED


async def test_an_alert_is_not_answered_before_every_command_was() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.commands.may_answer.clear()

    receiving = asyncio.create_task(answering.receive(gate="checkout"))
    await eventually(lambda: "caught up" in answering.steps, "the view is complete")
    for _ in range(20):
        await asyncio.sleep(0)

    assert "answer" not in answering.steps
    answering.commands.may_answer.set()
    await receiving


async def test_a_release_that_the_view_lacked_is_rolled_back_too_and_both_are_recorded() -> None:
    answering = Answering()
    answering.features.see(a_release_of("checkout").events[-1])
    answering.features.unseen = [a_release_of("search").events[-1]]

    answered = await answering.receive(pipeline="release")

    assert [command.trigger for command in answering.commands.sent] == ["gate.checkout.1", "gate.search.1"]
    assert answering.steps[0] == "roll_back"
    assert answered.triggers == ("gate.checkout.1", "gate.search.1")


async def test_a_newer_run_of_the_same_feature_is_rolled_back_after_a_stale_one_was_refused() -> None:
    answering = Answering()
    ledger = a_release_of("checkout", PAGER)
    answering.features.see(ledger.events[-1])
    ledger.act(AbortTrigger)
    ledger.save(a_gate(EVERYONE, name="checkout", releasePipelineID="release"))
    answering.features.unseen = ledger.events[-2:]
    accepted = Reply(outcome=Outcome.ACCEPTED)
    answering.commands.on_sent = lambda c: REFUSED if c.trigger == "gate.checkout.1" else accepted

    answered = await answering.receive(team="a")

    assert [command.trigger for command in answering.commands.sent] == ["gate.checkout.1", "gate.checkout.2"]
    assert answered.triggers == ("gate.checkout.2",)
    assert answering.steps.count("verdict") == 1


async def test_an_accepted_command_is_sent_once_although_its_event_arrives_meanwhile() -> None:
    answering = Answering()
    ledger = a_release_of()
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)
    answering.features.unseen = ledger.events[-1:]

    answered = await answering.receive(gate="checkout")

    assert len(answering.commands.sent) == 1
    assert answered.triggers == ("gate.checkout.1",)


async def test_a_refused_command_is_sent_once_if_the_view_lacked_nothing() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.commands.on_sent = lambda command: REFUSED

    answered = await answering.receive(gate="checkout")

    assert len(answering.commands.sent) == 1
    assert answered.outcome is AlertOutcome.MATCHED


async def test_a_pause_is_sent_for_the_phase_that_the_view_lacked_if_the_older_one_was_refused() -> None:
    answering = Answering()
    ledger = a_pausing_release()
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)
    answering.features.unseen = ledger.events[-1:]
    replies = iter((REFUSED, Reply(outcome=Outcome.ACCEPTED)))
    answering.commands.on_sent = lambda command: next(replies)

    await answering.receive(team="a")

    assert [phase_of(command) for command in answering.commands.sent] == ["dev", "prod"]


def a_stale_phase(ledger: Ledger) -> Reply:
    """Return the reply to a pause that was meant for the phase before."""
    refusal = ledger.act(PauseTrigger, phase_id="dev")
    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.STALE_PHASE
    return Reply(outcome=Outcome.REFUSED, refusal=refusal)


async def test_an_alert_is_not_answered_while_its_pause_is_meant_for_an_older_phase() -> None:
    answering = Answering()
    ledger = a_pausing_release()
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)

    def answer(command: TriggerCommand) -> Reply:
        is_stale = phase_of(command) == "dev"
        return a_stale_phase(ledger) if is_stale else Reply(outcome=Outcome.ACCEPTED)

    answering.commands.on_sent = answer
    with pytest.raises(Unavailable, match="its phase has changed"):
        await answering.receive(team="a")
    assert "answer" not in answering.steps
    answering.features.unseen = ledger.events[-1:]
    answered = await answering.receive(team="a")

    assert [phase_of(command) for command in answering.commands.sent] == ["dev", "dev", "dev", "prod"]
    assert len({command.id for command in answering.commands.sent}) == 1
    assert answered.triggers == ("gate.checkout.1",)


async def test_a_stale_pause_ends_with_the_release() -> None:
    answering = Answering()
    ledger = a_pausing_release()
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)
    stale = a_stale_phase(ledger)
    answering.commands.on_sent = lambda command: stale
    ledger.act(AbortTrigger)
    answering.features.unseen = ledger.events[-1:]

    answered = await answering.receive(team="a")

    assert answered.outcome is AlertOutcome.UNMATCHED


async def test_a_stronger_guardrail_of_a_phase_that_the_view_lacked_acts_as_well() -> None:
    answering = Answering()
    phases = (
        a_phase("dev", guardrails=[{**PAGER, "onFailure": "pause"}]),
        a_phase("prod", guardrails=[PAGER]),
    )
    ledger = Ledger(a_catalogue(a_pipeline(*phases)))
    ledger.save(a_gate())
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    answering.features.see(ledger.events[-1])
    ledger.act(SkipPhase)
    answering.features.unseen = ledger.events[-1:]

    await answering.receive(team="a")

    assert [command.verb for command in answering.commands.sent] == ["pause", "roll_back"]


async def test_an_alert_without_a_match_is_judged_only_after_catching_up() -> None:
    answering = Answering()
    answering.features.unseen = [a_release_of().events[-1]]

    before = await answering.receive(starts_at=1, gate="checkout")
    unmatched = await answering.receive(gate="other")

    assert (before.outcome, before.later_triggers) == (AlertOutcome.BEFORE_RELEASE, ("gate.checkout.1",))
    assert unmatched.outcome is AlertOutcome.UNMATCHED


async def test_a_notification_waits_for_the_complete_view() -> None:
    answering = Answering()
    ledger = a_release_of("checkout", {**PAGER, "onFailure": "notify"})
    answering.features.see(ledger.events[-1])
    ledger.act(AbortTrigger)
    answering.features.unseen = ledger.events[-1:]

    answered = await answering.receive(team="a")

    assert answered.outcome is AlertOutcome.UNMATCHED
    assert "verdict" not in answering.steps


async def test_a_view_that_knows_it_is_behind_is_not_acted_on() -> None:
    answering = Answering()
    ledger = a_release_of()
    answering.features.see(ledger.events[-1])
    ledger.act(AbortTrigger)
    answering.features.unseen = ledger.events[-1:]
    answering.features.knows_it_is_behind = True

    answered = await answering.receive(gate="checkout")

    assert answering.steps == ["catch up", "caught up", "answer"]
    assert answered.outcome is AlertOutcome.UNMATCHED


def scopes(**features: str) -> Catalogue:
    """Return a catalogue in which each of these sources may take back one feature."""
    return Catalogue(
        alert_sources={name: AlertSource(name=name, features=(each,)) for name, each in features.items()}
    )


async def test_the_first_scope_of_all_counts_for_what_was_not_acted_on() -> None:
    answering = Answering()
    answering.features.see(a_release_of("checkout").events[-1])
    answering.features.unseen = [a_release_of("search").events[-1]]
    answering.catalogue.unseen = scopes(tests="gate.other")

    answered = await answering.receive(pipeline="release")

    assert answered.triggers == ("gate.checkout.1",)
    assert answered.triggers_out_of_scope == ("gate.search.1",)


@pytest.mark.parametrize(
    ("known", "newest", "requires_sources"),
    [
        (scopes(tests="gate.checkout"), scopes(tests="gate.other"), False),
        (scopes(others="gate.other"), scopes(others="gate.other", tests="gate.other"), False),
        (scopes(tests="gate.checkout"), Catalogue(), True),
    ],
    ids=["narrowed", "added", "deleted"],
)
async def test_a_scope_that_was_saved_before_an_alert_counts_for_its_first_command(
    known: Catalogue, newest: Catalogue, requires_sources: bool
) -> None:
    answering = Answering(requires_sources=requires_sources)
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.contents, answering.catalogue.unseen = known, newest

    answered = await answering.receive(gate="checkout")

    assert answering.commands.sent == []
    assert answered.triggers_out_of_scope == ("gate.checkout.1",)


async def test_a_scope_waits_for_the_catalogue_and_not_for_the_log() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.contents = scopes(tests="gate.checkout")

    await answering.receive(gate="checkout")

    assert answering.steps[0] == "roll_back"


async def test_a_required_scope_that_was_saved_before_an_alert_counts_for_its_first_command() -> None:
    answering = Answering(requires_sources=True)
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.unseen = scopes(tests="gate.checkout")

    await answering.receive(gate="checkout")

    assert answering.steps[0] == "roll_back"


async def test_without_the_newest_scopes_no_command_is_sent_and_the_alert_is_not_answered() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.contents = scopes(tests="gate.checkout")
    answering.catalogue.is_unavailable = True

    with pytest.raises(Unavailable):
        await answering.receive(gate="checkout")

    assert answering.steps == []


async def test_where_nobody_has_a_scope_the_command_does_not_need_the_catalogue() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.catalogue.is_unavailable = True

    with pytest.raises(Unavailable):
        await answering.receive(gate="checkout")

    assert answering.steps[0] == "roll_back"
    assert "answer" not in answering.steps


async def test_a_command_without_an_answer_keeps_the_alert_but_not_the_others() -> None:
    answering = Answering()
    for name in ("checkout", "search"):
        answering.features.see(a_release_of(name).events[-1])

    def answer(command: TriggerCommand) -> Reply:
        if command.trigger == "gate.checkout.1":
            raise Unavailable("nobody answers")
        return Reply(outcome=Outcome.ACCEPTED)

    answering.commands.on_sent = answer
    with pytest.raises(RetryLater):
        await answering.receive(pipeline="release")

    assert {command.trigger for command in answering.commands.sent} == {"gate.checkout.1", "gate.search.1"}
    assert answering.records.answers == []


async def test_without_a_trusted_clock_an_alert_does_not_count_as_too_old() -> None:
    answering = Answering()
    answering.features.see(a_release_of().events[-1])
    answering.clock_problem = RetryLater("the clock differs")

    with pytest.raises(RetryLater):
        await answering.receive(starts_at=1, gate="checkout")

    assert answering.records.answers == []


async def test_each_body_is_parsed_once_and_few_commands_of_an_alert_are_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parse, parsed = FeatureEvent.model_validate_json, []

    def counted(data: bytes, **options: Any) -> FeatureEvent:
        parsed.append(data)
        return parse(data, **options)

    monkeypatch.setattr(alert_handler, "RELEASES_AT_ONCE", 4)
    monkeypatch.setattr(FeatureEvent, "model_validate_json", counted)
    answering = Answering()
    for n in range(30):
        answering.features.see(a_release_of(f"gate{n}").events[-1])
    other = a_release_of("other", PAGER).events[-1]
    answering.features.see(other)

    answered = await answering.receive(pipeline="release")

    assert len(answered.triggers) == len(answering.commands.sent) == len(parsed) == 31
    assert answering.commands.most_under_way == 4
    await answering.receive(gate="gate3")
    assert len(parsed) <= 32


async def test_an_alert_about_many_releases_lets_others_go_on_while_they_are_matched() -> None:
    answering, turns = Answering(), 0
    for n in range(200):
        answering.features.see(a_release_of(f"gate{n}").events[-1])

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    answered = await answering.receive(starts_at=1, pipeline="release")
    task.cancel()

    assert len(answered.later_triggers) == 200
    assert turns >= 200 // alert_handler.RELEASES_AT_ONCE
