"""Of which releases a monitor parses the events: at its start, at each event, and at each scrape."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import pytest

from services.monitor import active_guardrails, metrics
from services.monitor.active_guardrails import ActiveGuardrails
from services.monitor.app import run_guardrails
from services.monitor.clearance_responder import INVALID_EVENT, ClearanceResponder
from services.monitor.collectors import ReleaseCollector
from services.monitor.due_phases import DuePhases
from services.monitor.guardrail_runner import GuardrailRunner
from services.monitor.watched_releases import WatchedReleases
from sluiceway.contracts import envelope
from sluiceway.contracts.commands import AbortTrigger, SkipPhase
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.measurements import ClearanceQuestion
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from sluiceway.messaging.measurement_store import MeasurementView
from sluiceway.messaging.parsed_events import ParsedEvents
from tests.support.builders import EVERYONE, NOW, Ledger, a_catalogue, a_gate, a_phase, a_pipeline
from tests.support.waiting import eventually

ERRORS = {"name": "errors", "query": "errors", "failureCondition": "> 0.02"}


class Features(FeatureView):
    """A log in memory, of which nothing stays parsed."""

    resets = 0

    def __init__(self) -> None:
        self._entries: dict[FeatureKey, FeatureEntry] = {}

    def see(self, event: FeatureEvent, *, of_last_version: bool = False) -> FeatureEntry:
        known, headers = self._entries.get(event.feature.key), headers_of(event, "")
        if of_last_version:
            del headers[envelope.ALERT_KEYS], headers[envelope.METRIC_GUARDRAILS]
        sequence = known.sequence + 1 if known else 1
        entry = FeatureEntry(
            event.feature.key, sequence, headers, data=event.to_json(), parsed=ParsedEvents(0)
        )
        self._entries[entry.key] = entry
        return entry


class Rounds(MeasurementView):
    """No measurements yet."""

    def __init__(self) -> None:
        self._newest = {}


class Looking:
    """A monitor's looks at its log, and how many events they parse."""

    def __init__(self, parsed: list[bytes]) -> None:
        self.features, self.parsed = Features(), parsed
        self.watched = WatchedReleases(lambda: NOW)
        measurements, catalogue = Rounds(), CatalogueView.__new__(CatalogueView)
        catalogue.all = lambda kind: []  # type: ignore[method-assign]
        self.guardrails = ActiveGuardrails(self.features, catalogue, measurements, lambda: NOW)
        views, nothing = (self.features, measurements, self.guardrails), cast(Any, None)
        self.runner = GuardrailRunner(
            measurements, self.guardrails, nothing, nothing, nothing, lambda: NOW, 1, lambda: False
        )
        self.due = DuePhases(*views, nothing, lambda: NOW, 1, lambda: False)
        self.collector = ReleaseCollector(
            self.features, self.watched, self.guardrails, measurements, lambda: NOW
        )

    def see(self, *events: FeatureEvent, of_last_version: bool = False) -> None:
        for event in events:
            entry = self.features.see(event, of_last_version=of_last_version)
            self.watched.note(entry)
            self.runner.schedule(entry)
            self.due.schedule(entry)

    async def scrape(self) -> list[str]:
        """Return the releases that a scrape shows, in its order."""
        await self.collector.prepare()
        family = next(iter(self.collector.collect()))
        return [sample.labels["trigger"] for sample in family.samples]


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Looking:
    parse, parsed = FeatureEvent.model_validate_json, list[bytes]()

    def counted(data: bytes, **options: Any) -> FeatureEvent:
        parsed.append(data)
        return parse(data, **options)

    monkeypatch.setattr(FeatureEvent, "model_validate_json", counted)
    return Looking(parsed)


def a_release_of(name: str, *guardrails: dict[str, Any]) -> Ledger:
    phases = (a_phase("dev", guardrails=guardrails), a_phase("prod", guardrails=guardrails))
    ledger = Ledger(a_catalogue(a_pipeline(*phases)))
    ledger.save(a_gate(name=name))
    ledger.save(a_gate(EVERYONE, name=name, releasePipelineID="release"))
    return ledger


@asynccontextmanager
async def running(looking: Looking) -> AsyncIterator[None]:
    """Run what measures and acts, as a monitor does."""
    async with AsyncExitStack() as stack:
        await run_guardrails(looking.features, looking.runner, looking.due, stack, looking.watched.note)
        yield


async def test_a_release_without_guardrails_is_never_parsed(looking: Looking) -> None:
    looking.see(*(event for n in range(20) for event in a_release_of(f"gate{n}").events))

    async with running(looking):
        for _ in range(20):
            await asyncio.sleep(0)

    assert looking.parsed == []
    assert looking.guardrails.of_trigger("gate.gate1.1") == ()


async def test_a_release_with_a_guardrail_is_parsed_and_so_is_one_that_an_older_version_stored(
    looking: Looking,
) -> None:
    looking.see(a_release_of("new", ERRORS).events[-1])
    looking.see(a_release_of("old", ERRORS).events[-1], of_last_version=True)
    looking.see(a_release_of("plain").events[-1], of_last_version=True)

    found = {name: looking.guardrails.of_trigger(f"gate.{name}.1") for name in ("new", "old", "plain")}

    assert {name: len(guardrails) for name, guardrails in found.items()} == {"new": 1, "old": 1, "plain": 0}


async def test_what_was_out_before_the_monitor_started_is_scheduled_with_turns_for_others(
    looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active_guardrails, "PARSED_MAX", 3)
    looking = Looking(looking.parsed)
    for n in range(120):
        looking.features.see(a_release_of(f"gate{n}", ERRORS).events[-1])

    async with running(looking):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at_first = len(looking.runner._timers)
        await eventually(lambda: len(looking.runner._timers) == 120, "all are scheduled")

    assert at_first <= active_guardrails.LOOKED_AT_MAX
    assert len(looking.due._timers) == 120
    assert len(looking.parsed) == 120, "each is parsed once, although few stay parsed"


async def test_few_releases_stay_parsed(looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    assert active_guardrails.PARSED_MAX < 10_000
    monkeypatch.setattr(active_guardrails, "PARSED_MAX", 3)
    looking = Looking(looking.parsed)

    looking.see(*(a_release_of(f"gate{n}", ERRORS).events[-1] for n in range(10)))

    assert len(looking.guardrails._of_feature) == 3
    assert len(looking.guardrails.of_trigger("gate.gate0.1")) == 1


async def test_a_scrape_parses_what_changed_and_nothing_else(looking: Looking) -> None:
    ledgers = [a_release_of(f"gate{n}") for n in range(30)]
    looking.see(*(ledger.events[-1] for ledger in ledgers))

    first = await looking.scrape()
    parsed = len(looking.parsed)
    again = await looking.scrape()
    ledgers[3].act(SkipPhase)
    ledgers[4].act(AbortTrigger)
    looking.see(ledgers[3].events[-1], ledgers[4].events[-1])
    after = await looking.scrape()

    assert (len(first), parsed, again) == (30, 30, first)
    assert len(looking.parsed) == 31
    assert after[0] == "gate.gate3.1"
    assert set(first) - set(after) == {"gate.gate4.1"}


@pytest.mark.parametrize("releases", [20, 200])
async def test_a_scrape_looks_at_the_releases_that_it_shows_however_many_there_are(
    looking: Looking, monkeypatch: pytest.MonkeyPatch, releases: int
) -> None:
    monkeypatch.setattr(metrics, "RELEASE_SERIES_MAX", 10)
    looking.see(*(a_release_of(f"gate{n}").events[-1] for n in range(releases)))

    shown = await looking.scrape()

    assert shown == [f"gate.gate{n}.1" for n in range(releases - 1, releases - 6, -1)]
    assert len(looking.parsed) == 5


async def test_an_invalid_event_hides_its_release_alone(looking: Looking) -> None:
    looking.see(a_release_of("good").events[-1])
    event = a_release_of("bad").events[-1]
    looking.watched.note(looking.features.see(event))
    looking.features._entries[event.feature.key]._data = b"{}"

    assert await looking.scrape() == ["gate.good.1"]


async def test_a_phase_is_held_while_the_newest_event_of_its_feature_is_invalid(looking: Looking) -> None:
    for name, guardrails in (("plain", []), ("guarded", [ERRORS]), ("broken", [ERRORS]), ("no-headers", [])):
        looking.see(a_release_of(name, *guardrails).events[-1])
    entries = looking.features._entries
    for name in ("broken", "no-headers"):
        key = FeatureKey(FeatureKind.GATE, name)
        headers = headers_of(a_release_of(name, ERRORS).events[-1], "") if name == "broken" else {}
        entries[key] = FeatureEntry(key, 2, headers, data=b"{}", parsed=ParsedEvents(0))
    nothing: Any = Rounds()
    responder = ClearanceResponder(looking.features, nothing, looking.guardrails, lambda: NOW)

    holds = {
        name: responder._holds(ClearanceQuestion(trigger=f"gate.{name}.1", phase_id="dev", revision=1))
        for name in ("plain", "broken", "no-headers")
    }

    assert holds == {"plain": (), "broken": (INVALID_EVENT,), "no-headers": (INVALID_EVENT,)}
    assert looking.guardrails.are_known("gate.guarded.1")
