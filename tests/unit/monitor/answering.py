"""An alert handler on views of the test, which may lack events until they catch up."""

import asyncio
from collections.abc import Callable
from typing import Any

from services.monitor.alert_handler import AlertHandler
from services.monitor.alert_matcher import AlertMatcher
from services.monitor.watched_releases import WatchedReleases
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert, AnsweredAlert
from sluiceway.contracts.commands import Command, TriggerCommand
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.measurements import VerdictChanged
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import RetryLater, Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.command_client import CommandClient
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.messaging.stream_records import Position
from sluiceway.pipelines.decision import Catalogue
from tests.support.builders import EVERYONE, NOW, Ledger, a_catalogue, a_gate, a_phase, a_pipeline

PAGER = {"name": "pager", "alert": {"matchLabels": {"team": "a"}}}


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


def a_release_of(name: str = "checkout", *guardrails: dict[str, Any]) -> Ledger:
    """Return the release of a gate through two phases."""
    phases = (a_phase("dev", guardrails=guardrails), a_phase("prod", guardrails=guardrails))
    ledger = Ledger(a_catalogue(a_pipeline(*phases)))
    ledger.save(a_gate(name=name))
    ledger.save(a_gate(EVERYONE, name=name, releasePipelineID="release"))
    return ledger
