"""Laws 1–4, 6 and 7 over random pipelines, interleaved actions and a clock that jumps.

The book-keeping here is its own: it learns from the commands that were accepted, and says what may
have happened, without a look at how the product computes it.
"""

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sluiceway.client.client import RegionRules
from sluiceway.clock import now_ms
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    FeatureCommand,
    PauseTrigger,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
    SkipPhase,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import Feature, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.replies import RefusalCode
from sluiceway.messaging.following import Record
from sluiceway.pipelines.decide import Catalogue, decide
from sluiceway.pipelines.projection import checksum, project
from sluiceway.pipelines.segments import Place
from tests.support.builders import a_catalogue

ENVIRONMENTS = ("development", "staging", "production")
REGIONS = {
    "dev": Place("development", {"region": "dev"}),
    "staging": Place("staging", {"region": "staging"}),
    "us-west": Place("production", {"region": "us-west"}),
    "eu": Place("production", {"region": "eu"}),
}
#: Those that end a trigger come less often, so that the others get somewhere.
ACTIONS = (
    *(ApprovePhase, PauseTrigger, UnpauseTrigger, SkipPhase) * 4,
    AbortTrigger,
    RollBackTrigger,
    RollOutTrigger,
)
TIER = {"type": "custom_field", "field": "tier", "operator": "any", "targetValue": ["pro"]}


@st.composite
def phase_rules(draw: st.DrawFn, index: int) -> dict[str, Any]:
    regions = draw(st.none() | st.lists(st.sampled_from(sorted(REGIONS)), min_size=1, max_size=2))
    where = {"type": "custom_field", "field": "region", "operator": "any", "targetValue": regions}
    return {
        "name": f"rule-{index}",
        "environments": draw(st.none() | st.lists(st.sampled_from(ENVIRONMENTS), min_size=1, max_size=2)),
        "conditions": ([where] if regions else []) + ([TIER] if draw(st.booleans()) else []),
    }


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    phases = []
    for index in range(draw(st.integers(1, 4))):
        rules = [draw(phase_rules(n)) for n in range(draw(st.integers(1, 2)))]
        phases.append(
            {
                "name": f"phase-{index}",
                "timeIntervalMs": draw(st.sampled_from((0, 1_000, 60_000))),
                "requiredReview": draw(st.booleans()),
                "rules": rules,
            }
        )
    return Pipeline.model_validate({"name": "release", "phases": phases})


def covers(phase: dict[str, Any], place: Place) -> bool:
    """Say whether anybody in a place could match a phase, from the JSON that its author wrote."""
    return any(
        (not rule["environments"] or place.environment in rule["environments"])
        and all(
            condition["field"] != "region" or place.attributes["region"] in condition["targetValue"]
            for condition in rule["conditions"]
        )
        for rule in phase["rules"]
    )


@dataclass
class Book:
    """What may be so, learned from the accepted commands alone."""

    phases: list[dict[str, Any]]
    marker: str
    #: Phase → may have been released.
    released: set[int] = field(default_factory=set)
    current: int = 0
    waiting: bool = False
    #: Baked so far, and since when it bakes (None: it does not).
    baked_ms: int = 0
    since_ms: int | None = None

    def enter(self, index: int, now: int) -> None:
        self.current, self.baked_ms, self.since_ms, self.waiting = index, 0, None, False
        if index >= len(self.phases):
            return
        if self.phases[index]["requiredReview"]:
            self.waiting = True
        else:
            self.release(now)

    def release(self, now: int) -> None:
        self.released.add(self.current)
        self.waiting, self.since_ms = False, now

    def pause(self, now: int) -> None:
        assert self.since_ms is not None
        self.baked_ms, self.since_ms = self.baked_ms + now - self.since_ms, None

    def total_baked_ms(self, now: int) -> int:
        return self.baked_ms + (now - self.since_ms if self.since_ms is not None else 0)


class Releases(RuleBasedStateMachine):
    """Two gates and a pipeline, under fire from people, time and the monitor."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000
        self.count = 0
        self.logs: dict[str, list[FeatureEvent]] = {"one": [], "two": []}
        self.books: dict[str, Book] = {}
        self.sent: list[tuple[str, FeatureCommand]] = []
        self.dead_markers: dict[str, set[str]] = {"one": set(), "two": set()}
        self.held = {name: RegionRules(name) for name in REGIONS}
        self.sequence = 0
        self.catalogue = Catalogue()

    @initialize(pipeline=pipelines())
    def begin(self, pipeline: Pipeline) -> None:
        self.catalogue = a_catalogue(pipeline)

    @rule(name=st.sampled_from(("one", "two")), attached=st.booleans())
    def save(self, name: str, attached: bool) -> None:
        self.count += 1
        marker = f"marker-{name}-{self.count}-"
        active = self._active(name)
        document = {
            "kind": "FeatureGate",
            "name": name,
            "releasePipelineID": "release" if attached else None,
            "rules": [{"name": marker, "conditions": [{"type": "public"}]}],
        }
        command = SaveFeature.model_validate(
            {"actor": f"author-{self.count}", "feature": document, "reason": marker}
        )

        event = self._send(name, command)

        assert (event is None) == active, "law 3: one active trigger, and it refuses a second change"
        if event and attached:
            phases = self.catalogue.pipelines["release"].to_jsonable()["phases"]
            self.books[name] = Book(phases, marker)
            self.books[name].enter(0, self.now)

    @rule(
        name=st.sampled_from(("one", "two")),
        model=st.sampled_from(ACTIONS),
        stale=st.integers(0, 9).map(lambda n: n == 0),
    )
    def act(self, name: str, model: type[FeatureCommand], stale: bool) -> None:
        state = self._state(name)
        if state is None or state.trigger is None:
            return
        current = state.trigger.current_run.phase.id
        fields: dict[str, Any] = {
            "actor": f"person-{self.count}",
            "trigger": state.trigger.id,
            "reason": "why",
        }
        if "phase_id" in model.model_fields:
            fields["phase_id"] = "phase-9" if stale else current
        event = self._send(name, model(**fields))
        if event:
            assert not (stale and "phase_id" in fields), "a stale click was taken"
            self._note(name, model)

    @rule(
        name=st.sampled_from(("one", "two")), jump=st.sampled_from((0, 1, 999, 1_000, 59_000, 60_000, 10**7))
    )
    def tick(self, name: str, jump: int) -> None:
        self.now += jump
        state = self._state(name)
        if state is None or state.trigger is None:
            return
        phase = state.trigger.current_run.phase.id
        event = self._send(name, AdvancePhase(actor="scheduler", trigger=state.trigger.id, phase_id=phase))
        if event is None:
            return
        book = self.books[name]
        assert not book.waiting, "law 4: it left a phase that waits for its review"
        assert book.since_ms is not None, "law 4: it left a phase that is paused"
        wanted = book.phases[book.current]["timeIntervalMs"]
        assert book.total_baked_ms(self.now) >= wanted, "law 4: the bake was not over"
        book.enter(book.current + 1, self.now)

    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        if not self.sent:
            return
        name, command = data.draw(st.sampled_from(self.sent[-5:]))
        before = len(self.logs[name])

        self._send(name, command)

        assert len(self.logs[name]) == before, "a command was applied twice"

    @invariant()
    def regions_hold_what_they_may(self) -> None:
        for name, log in self.logs.items():
            for region, place in REGIONS.items():
                document = project(log[-1], len(log), place) if log else None
                text = document.model_dump_json(by_alias=True) if document else ""
                self._law_1(name, place, text)
                for marker in self.dead_markers[name]:
                    assert marker not in text, f"law 2: {region} holds what was taken back"

    def _law_1(self, name: str, place: Place, text: str) -> None:
        book = self.books.get(name)
        if book is None or not self._active(name):
            return
        allowed = any(covers(book.phases[index], place) for index in book.released)
        assert (book.marker in text) == allowed, "law 1: exactly the covered regions hold the candidate"

    @invariant()
    def subscribers_only_move_forward(self) -> None:
        """Law 6: documents arrive late, twice and out of order."""
        for name, log in self.logs.items():
            for region, place in REGIONS.items():
                for revision in {max(1, len(log) - 1), len(log)} if log else ():
                    self._deliver(name, region, log[revision - 1], revision, place)
                key = FeatureKey(FeatureKind.GATE, name)
                held = self.held[region].revision(key)
                newest = project(log[-1], len(log), place) if log else None
                if newest:
                    assert held == newest.revision, "law 6"

    @invariant()
    def the_log_tells_who_when_and_why(self) -> None:
        for log in self.logs.values():
            for earlier, later in pairwise(log):
                assert later.time_ms >= earlier.time_ms
                assert later.feature.versions >= earlier.feature.versions
                assert later.feature.runs in (earlier.feature.runs, earlier.feature.runs + 1)
                assert later.feature.salt == earlier.feature.salt
                self._actions_only_grow(earlier.feature, later.feature)
            for event in log[-1:]:
                assert event.actor_id
                assert event.type is EventType.FEATURE_CHANGED or event.feature.trigger
                assert FeatureEvent.model_validate_json(event.to_json(), extra="ignore") == event

    def _actions_only_grow(self, earlier: Feature, later: Feature) -> None:
        if earlier.trigger and later.trigger and earlier.trigger.id == later.trigger.id:
            count = len(earlier.trigger.actions)
            assert later.trigger.actions[:count] == earlier.trigger.actions[: len(later.trigger.actions)]

    def _deliver(self, name: str, region: str, event: FeatureEvent, revision: int, place: Place) -> None:
        document = project(event, revision, place)
        if document is None:
            return
        self.sequence += 1
        subject = subjects.rule(region, FeatureKey(FeatureKind.GATE, name))
        headers = {envelope.REVISION: str(revision), envelope.CHECKSUM: checksum(document)}
        record = Record(subject, self.sequence, now_ms(), document.to_json(), headers)
        self.held[region].take(record, "created", is_live=False)

    def _send(self, name: str, command: FeatureCommand) -> FeatureEvent | None:
        state = self._state(name)
        decision = decide(state, command, self.now, self.catalogue)
        assert decision == decide(state, command, self.now, self.catalogue), "decide is not a function"
        if not isinstance(decision, FeatureEvent):
            code = getattr(decision, "code", None)
            assert code is not RefusalCode.INVALID
            return None
        self.sent.append((name, command))
        assert (decision.actor_id, decision.command_id) == (command.actor, command.id), "law 7"
        assert decision.reason == command.reason or command.reason is None, "law 7"
        self.logs[name].append(decision)
        return decision

    def _note(self, name: str, model: type[FeatureCommand]) -> None:
        book = self.books[name]
        if model is ApprovePhase:
            assert book.waiting, "law 4: an approval of what waits for none"
            book.release(self.now)
        elif model is PauseTrigger:
            book.pause(self.now)
        elif model is UnpauseTrigger:
            assert book.since_ms is None
            book.since_ms = self.now
        elif model is SkipPhase:
            book.enter(book.current + 1, self.now)
        elif model in (AbortTrigger, RollBackTrigger):
            self.dead_markers[name].add(book.marker)

    def _state(self, name: str) -> Feature | None:
        return self.logs[name][-1].feature if self.logs[name] else None

    def _active(self, name: str) -> bool:
        state = self._state(name)
        return bool(
            state
            and state.trigger
            and state.trigger.status
            in (TriggerStatus.IN_PROGRESS, TriggerStatus.PAUSED, TriggerStatus.WAITING_FOR_REVIEW)
        )


TestReleases = Releases.TestCase


def test_the_book_reads_what_an_author_wrote() -> None:
    phase = json.loads('{"rules": [{"environments": ["production"], "conditions": []}]}')

    assert covers(phase, REGIONS["eu"])
    assert not covers(phase, REGIONS["dev"])
