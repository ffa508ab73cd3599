"""Laws 1–4 and 7, and that roles only take away, over random pipelines, actions and a clock that jumps.

What they leave behind is held against a book-keeping of its own, see `bookkeeping`.
"""

import re
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    ArchiveFeature,
    ExtendBake,
    FeatureCommand,
    PauseTrigger,
    PhaseCommand,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
    SkipPhase,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import ACTIONS_MAX
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.identity import Grant, Identity, Role
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.contracts.rule_document import SpecSet
from sluiceway.evaluation.rule_set import RuleSet
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue, Decision, Unchanged
from sluiceway.pipelines.projection import project
from sluiceway.pipelines.segments import Location
from tests.support.builders import PROCESS, a_catalogue

from .model import Book, Release
from .strategies import PIPELINES, REGIONS, covers, on

NAMES = ("one", "two", "limits")
USERS: tuple[dict[str, Any], ...] = (
    {"userID": "a"},
    {"userID": "b", "custom": {"tier": "pro"}},
    {"userID": "c", "email": "ada@example.com", "custom": {"tier": "free"}},
)
#: Those that end a trigger come less often, so that the others get somewhere.
ACTIONS: tuple[type[TriggerCommand], ...] = (
    *(ApprovePhase, PauseTrigger, UnpauseTrigger, SkipPhase) * 4,
    ExtendBake,
    AbortTrigger,
    RollBackTrigger,
    RollOutTrigger,
)
STEPS: tuple[type[TriggerCommand] | int, ...] = (*ACTIONS, *(0, 500, 1_000, 30_000, 60_000) * 4)
#: What a command does to a trigger, in the words of the log: the event, and the action.
WORDS: dict[type[TriggerCommand], tuple[str, str]] = {
    ApprovePhase: ("phase_approved", "APPROVED_FOR"),
    PauseTrigger: ("trigger_paused", "PAUSED"),
    UnpauseTrigger: ("trigger_unpaused", "UNPAUSED"),
    SkipPhase: ("phase_skipped", "SKIPPED"),
    ExtendBake: ("bake_extended", "EXTENDED"),
    AbortTrigger: ("trigger_aborted", "ABORTED"),
    RollBackTrigger: ("trigger_rolled_back", "ROLLED_BACK"),
    RollOutTrigger: ("trigger_rolled_out", "FULL_ROLL_OUT"),
}
ROLES = (Role.VIEWER, Role.EDITOR, Role.APPROVER, Role.OPERATOR)
#: The role without which nothing goes; the others need an operator's.
NEEDED: dict[type[FeatureCommand], Role] = {
    SaveFeature: Role.EDITOR,
    ArchiveFeature: Role.EDITOR,
    ApprovePhase: Role.APPROVER,
}

MARKER = re.compile(r"marker-\w+-\d+-")


class Releases(RuleBasedStateMachine):
    """Two gates and a config on one pipeline, under fire from people, time and the monitor."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000
        self.count = 0
        self.books = {name: Book() for name in NAMES}
        self.sent: list[tuple[str, FeatureCommand]] = []
        self.catalogue = Catalogue()
        self.phases: list[dict[str, Any]] = []

    @initialize(pipeline=PIPELINES, live=st.sets(st.sampled_from(NAMES)))
    def begin(self, pipeline: dict[str, Any], live: set[str]) -> None:
        self.catalogue = a_catalogue(Pipeline.model_validate(pipeline))
        self.phases = pipeline["phases"]
        for name in sorted(live):
            self.save(name, attached=False)
        for name in NAMES:
            self.save(name, attached=True)

    @rule(name=st.sampled_from(NAMES), attached=st.booleans(), at_once=st.booleans())
    def save(self, name: str, attached: bool, at_once: bool = False) -> None:
        book = self.books[name]
        marker = f"marker-{name}-{self.count}-"
        before = book.log[-1] if book.log else None
        command = SaveFeature.model_validate(
            {
                **self._who(),
                "feature": _document(name, marker, "release" if attached else None),
                "atOnce": at_once,
            }
        )

        event = self._send(name, command)

        assert (event is None) == bool(book.active), "law 3: an active trigger refuses a second change"
        if event is None:
            return
        book.versions += 1
        if book.archived:
            book.base, book.archived = None, False
        if at_once or not attached:
            book.base = marker
            return
        book.runs += 1
        book.base_before = book.base
        book.specs_before = {region: _specs(before, place) for region, place in REGIONS.items()}
        book.release = Release(f"{event.feature.key}.{book.runs}", marker, self.phases, command.actor)
        book.release.enter(0, self.now)
        self._acted(book, command, "STARTED", "p0")

    @rule(name=st.sampled_from(NAMES))
    def archive(self, name: str) -> None:
        book = self.books[name]
        kind = FeatureKind.DYNAMIC_CONFIG if name == "limits" else FeatureKind.GATE
        may = bool(book.log) and not book.active and not book.archived

        event = self._send(name, ArchiveFeature(**self._who(), kind=kind, name=name))

        assert (event is not None) == may
        book.archived = book.archived or may

    @rule(name=st.sampled_from(NAMES), model=st.sampled_from(ACTIONS))
    def act(self, name: str, model: type[TriggerCommand]) -> None:
        """Act on the phase that is current."""
        if release := self.books[name].release:
            self._act(name, model, release.id, release.phase_id)

    @rule(
        name=st.sampled_from(NAMES),
        model=st.sampled_from((*WORDS, AdvancePhase)),
        run=st.integers(1, 4),
        phase=st.integers(0, 5),
    )
    def act_at_random(self, name: str, model: type[TriggerCommand], run: int, phase: int) -> None:
        """Act on any phase of any trigger, as somebody with an old page open would."""
        kind = "dynamic_config" if name == "limits" else "gate"
        self._act(name, model, f"{kind}.{name}.{run}", f"p{phase}")

    @rule(name=st.sampled_from(NAMES), hold=st.sampled_from(((), (), (), ("quiet",), ("quiet", "frozen"))))
    def tick(self, name: str, hold: tuple[str, ...]) -> None:
        if release := self.books[name].release:
            self._act(name, AdvancePhase, release.id, release.phase_id, holds=hold)

    @rule(jump=st.sampled_from((1, 999, 1_000, 60_000, 10**7)))
    def jump(self, jump: int) -> None:
        self.now += jump

    @rule(name=st.sampled_from(NAMES), early=st.sampled_from((0, 0, 1)))
    def wait_for_a_bake(self, name: str, early: int) -> None:
        """Let the clock reach the end of a bake, or the millisecond before it."""
        release = self.books[name].active
        if release and release.since_ms is not None and release.left_ms(self.now) >= early:
            self.now += release.left_ms(self.now) - early
            self.tick(name, ())

    @rule(name=st.sampled_from(NAMES), steps=st.lists(st.sampled_from(STEPS), min_size=2, max_size=8))
    def live_on(self, name: str, steps: list[type[TriggerCommand] | int]) -> None:
        """Let a release get somewhere: a time to wait before what it needs to go on, or an action."""
        for step in steps:
            release = self.books[name].active
            if release is None:
                self.save(name, attached=True)
            elif isinstance(step, int):
                self.now += step
                needed = {"WAITING_FOR_REVIEW": ApprovePhase, "PAUSED": UnpauseTrigger}
                self.act(name, needed.get(release.status, AdvancePhase))
            else:
                self.act(name, step)
            self.each_place_holds_what_it_may()

    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        name, command = data.draw(st.sampled_from(self.sent[-9:]))

        decision = decide(self.books[name].state, command, self.now, self.catalogue)

        is_answered = isinstance(decision, Unchanged)
        if isinstance(command, AdvancePhase):  # time sends none again: one that is late is refused, or holds
            is_held = isinstance(decision, FeatureEvent) and decision.type is EventType.PHASE_HELD
            is_answered = is_answered or isinstance(decision, Refusal) or is_held
        assert is_answered, "a command was applied twice"

    @invariant()
    def each_place_holds_what_it_may(self) -> None:
        for name, book in self.books.items():
            if not book.is_looked_at and book.log:
                book.is_looked_at = True
                self._the_log_is_sound(book)
                for region, place in REGIONS.items():
                    self._the_place_is_right(name, book, region, place)

    def _the_place_is_right(self, name: str, book: Book, region: str, place: Location) -> None:
        document = project(book.log[-1], len(book.log), place)
        if book.archived:
            assert document is None
            return
        text = document.specs.model_dump_json(by_alias=True) if document else ""
        assert set(MARKER.findall(text)) == book.markers_in(place), f"laws 1, 2: what {region} holds"
        active = book.active
        released = active is not None and any(covers(active.phases[n], place) for n in active.released)
        if active and not released:
            assert active.id not in (document.model_dump_json() if document else ""), "law 1: a trace"
        for trigger in book.taken_back:
            assert f"{trigger}/" not in text, "law 2: a trace"
            assert document is None or document.trigger != trigger, "law 2: a trace"
        if book.release and book.release.id in book.taken_back and book.base == book.base_before:
            assert _specs(book.log[-1], place) == book.specs_before[region], "law 2: not the base"
        rules = RuleSet(PROCESS)
        if document:
            rules.apply(document)
        for user in USERS:
            answer = rules.config(user, name) if name == "limits" else rules.gate(user, name)
            assert (answer.rule_id or None) == book.marker_for(place, user), f"{user} in {region}"

    def _the_log_is_sound(self, book: Book) -> None:
        event, state = book.log[-1], book.log[-1].feature
        assert (state.versions, state.runs, state.archived) == (book.versions, book.runs, book.archived)
        assert state.salt == book.log[0].feature.salt, "a salt changed"
        assert FeatureEvent.model_validate_json(event.to_json(), extra="ignore") == event
        release, trigger = book.release, state.trigger
        if release is None:
            assert trigger is None
            return
        assert trigger
        assert (trigger.id, trigger.status, trigger.current) == (release.id, release.status, release.current)
        assert trigger.pipeline == self.catalogue.pipelines["release"]
        assert {n for n, run in enumerate(trigger.phases) if run.started_ms is not None} == release.released
        due = self.now + release.left_ms(self.now) if release.status == "IN_PROGRESS" else None
        assert trigger.due_ms == due, "law 4: when the bake is over"
        rest = release.left_ms(self.now) if release.status == "PAUSED" else None
        assert trigger.remaining_ms == (max(0, rest) if rest is not None else None)
        if release.status == "WAITING_FOR_REVIEW":
            given = [approval.actor_id for approval in trigger.current_run.approvals]
            assert (len(given), set(given)) == (len(release.approvers), release.approvers), (
                "a person counts once"
            )
        assert trigger.held == (book.held if release.status == "IN_PROGRESS" else ())
        assert [
            (a.type, a.time_ms, a.phase_id, a.actor_id, a.reason) for a in trigger.actions
        ] == release.actions[-ACTIONS_MAX:], "law 7: the actions"

    def _act(self, name: str, model: type[TriggerCommand], trigger: str, phase: str, **fields: Any) -> None:
        book, who = self.books[name], self._who()
        if issubclass(model, PhaseCommand):
            fields["phase_id"] = phase
        command = model(**who, trigger=trigger, **fields)
        release = book.release
        hold = command.holds if isinstance(command, AdvancePhase) else ()
        may = release is not None and release.allows(command, self.now) and not (hold and hold == book.held)

        event = self._send(name, command)

        assert (event is not None) == may, f"laws 2, 4: {model.__name__} at {release}"
        if event is None or release is None:
            return
        acted_on = release.phase_id
        release.apply(command, self.now)
        book.held = hold
        if hold:
            words, reason = ("phase_held", "HELD"), "; ".join(hold)
        else:
            done = release.status == "COMPLETED"
            advanced = ("trigger_completed", "COMPLETED") if done else ("phase_advanced", "ADVANCED")
            words, reason = WORDS.get(model, advanced), command.reason or ""
            if isinstance(command, ApprovePhase) and release.status == "WAITING_FOR_REVIEW":
                words = ("approval_given", "APPROVED_FOR")
        assert (event.type, event.phase_id, event.reason) == (words[0], acted_on, reason or None), "law 7"
        release.actions.append((words[1], self.now, acted_on, command.actor, reason or None))
        if release.status == "COMPLETED":
            book.base = release.marker
        elif not release.is_active:
            book.taken_back.add(release.id)

    def _acted(self, book: Book, command: FeatureCommand, word: str, phase: str) -> None:
        assert book.release
        book.held = ()
        book.release.actions.append((word, self.now, phase, command.actor, command.reason))

    def _who(self) -> dict[str, Any]:
        self.count += 1
        reason = None if self.count % 3 == 0 else f"because {self.count}"
        return {"id": f"command-{self.count}", "actor": f"person-{self.count % 4}", "reason": reason}

    def _send(self, name: str, command: FeatureCommand) -> FeatureEvent | None:
        book = self.books[name]
        before = book.state.to_json() if book.state else None
        decision = decide(book.state, command, self.now, self.catalogue)
        assert decision == decide(book.state, command, self.now, self.catalogue), "decide is not a function"
        assert before == (book.state.to_json() if book.state else None), "decide changed its input"
        if not isinstance(command, AdvancePhase):  # which time sends, and nobody
            self._roles_only_take_away(book, command, decision)
        if not isinstance(decision, FeatureEvent):
            assert getattr(decision, "code", None) is not RefusalCode.INVALID
            assert decision.message
            return None
        assert (decision.actor_id, decision.command_id, decision.time_ms) == (
            command.actor,
            command.id,
            self.now,
        ), "law 7: who and when"
        assert decision.reason == command.reason or isinstance(command, AdvancePhase), "law 7: why"
        assert FeatureEvent.model_validate_json(decision.to_json()) == decision, "it is read as it was stored"
        book.log.append(decision)
        book.is_looked_at = False
        self.sent.append((name, command))
        return decision

    def _roles_only_take_away(self, book: Book, command: FeatureCommand, decision: Decision) -> None:
        """Hold what somebody with one role, and with all, may do against what nobody's command does."""
        if book.state and command.idempotency_key.is_among(book.state.recent_commands):
            return  # it is sent again: with a role, it would be another sender's
        needed, only = NEEDED.get(type(command), Role.OPERATOR), ROLES[self.count % len(ROLES)]
        for roles in ((only,), ROLES):
            grants = tuple(Grant(role=role) for role in roles)
            identity = Identity(name=command.actor, grants=grants, vouched_by="key")
            authenticated = command.model_copy(update={"identity": identity})
            other = decide(book.state, authenticated, self.now, self.catalogue)
            if isinstance(other, FeatureEvent):
                assert other.vouched_by == "key", "law 7: by whose word"
                other = _without_sender(other, decision)
            lacks = isinstance(other, Refusal) and "this needs the role" in other.message
            assert lacks or other == decision, "a role changed what a command does"
            assert lacks >= (needed not in roles), f"{type(command).__name__} by {roles}"
            assert not (lacks and roles == ROLES), "all roles were not enough"


def _without_sender(event: FeatureEvent, like: Decision) -> FeatureEvent:
    """Return an event as if nobody vouched for its sender, whose commands are remembered apart."""
    remembered = like.feature.recent_commands if isinstance(like, FeatureEvent) else ()
    feature = event.feature.changed(recent_commands=remembered)
    return event.model_copy(update={"vouched_by": None, "feature": feature})


def _document(name: str, marker: str, pipeline: str | None) -> dict[str, Any]:
    rule = {"name": marker, "conditions": [{"type": "public"}]}
    if name == "limits":
        return {
            "kind": "DynamicConfig",
            "name": name,
            "releasePipelineID": pipeline,
            "rules": [{**rule, "returnValue": {"is": marker}}],
        }
    return {"kind": "FeatureGate", "name": name, "releasePipelineID": pipeline, "rules": [rule]}


def _specs(event: FeatureEvent | None, place: Location) -> SpecSet:
    document = project(event, 1, place) if event else None
    return document.specs if document else SpecSet()


TestReleases = Releases.TestCase


def test_the_book_reads_what_an_author_wrote() -> None:
    rule = {"environments": ["production"], "conditions": [on("custom_field", ["pro"], field_="tier")]}
    phase = {"rules": [rule]}

    assert covers(phase, REGIONS["eu"])
    assert covers(phase, REGIONS["eu"], USERS[1])
    assert not covers(phase, REGIONS["eu"], USERS[0])
    assert not covers(phase, REGIONS["dev"])
