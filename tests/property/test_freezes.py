"""Freezes: when they are on, and that nothing starts inside them that nobody has overridden.

Both are computed here once more, by other means than the product's.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    FeatureCommand,
    PauseTrigger,
    PhaseCommand,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
    SkipPhase,
    StartingCommand,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.freeze import Freeze
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue, Unchanged
from sluiceway.pipelines.freezes import next_change_ms, open_window
from tests.support.builders import a_catalogue, a_gate

from .strategies import ENVIRONMENTS, PIPELINES, REGIONS, covers

#: Half an hour, an hour, at midnight, on another day of the week than in UTC, and none at all.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "America/Asuncion",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "UTC",
)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MINUTE_MS = 60_000
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)

TIMES = st.tuples(st.sampled_from(DAYS), st.integers(0, 23), st.sampled_from((0, 15, 30, 45, 59))).map(
    lambda time: f"{time[0]} {time[1]:02}:{time[2]:02}"
)
WINDOWS = st.tuples(TIMES, TIMES).filter(lambda window: window[0] != window[1])


def is_on(windows: list[tuple[str, str]], zone: str, now_ms: int) -> bool:
    """Say whether a clock on the wall shows a time in a window: it is walked minute by minute."""
    wall = datetime.fromtimestamp(now_ms / 1_000, UTC).astimezone(ZoneInfo(zone))
    shown = f"{DAYS[wall.weekday()]} {wall:%H:%M}"
    return any(shown in _minutes(*window) for window in windows)


def _minutes(start: str, end: str) -> set[str]:
    every = [f"{day} {hour:02}:{minute:02}" for day in DAYS for hour in range(24) for minute in range(60)]
    first = every.index(start)
    turned = every[first:] + every[:first]
    return set(turned[: turned.index(end)])


def switches(zone: str) -> list[int]:
    """Return the minutes of 2026 in which the clocks of a zone are changed."""
    hours = [MONDAY + timedelta(hours=n) for n in range(365 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    return [int(hours[n].timestamp() * 1_000) for n in range(1, len(hours)) if offsets[n] != offsets[n - 1]]


SWITCHES = {zone: switches(zone) for zone in ZONES}


@given(
    windows=st.lists(WINDOWS, min_size=1, max_size=3),
    zone=st.sampled_from(ZONES),
    data=st.data(),
)
def test_a_weekly_freeze_is_on_as_the_clocks_on_the_wall_say(
    windows: list[tuple[str, str]], zone: str, data: st.DataObject
) -> None:
    freeze = _freeze("x", timeZone=zone, weekly=[{"from": start, "to": end} for start, end in windows])
    anywhen = st.integers(0, 365 * 24 * 60).map(
        lambda minutes: int(MONDAY.timestamp() * 1_000) + minutes * MINUTE_MS
    )
    near = [st.sampled_from(SWITCHES[zone])] if SWITCHES[zone] else []
    moment = data.draw(st.one_of(anywhen, *near)) + data.draw(st.integers(-3 * 3_600_000, 3 * 3_600_000))

    assert (open_window(freeze, moment) is not None) == is_on(windows, zone, moment)


@settings(max_examples=40)
@given(window=WINDOWS, zone=st.sampled_from(ZONES), minutes=st.integers(0, 365 * 24 * 60))
@example(window=("Sun 02:15", "Sun 02:45"), zone="Europe/Berlin", minutes=41 * 7 * 1_440 + 6 * 1_440)
def test_the_next_change_is_the_first_one(window: tuple[str, str], zone: str, minutes: int) -> None:
    now = int(MONDAY.timestamp() * 1_000) + minutes * MINUTE_MS + 1
    freeze = _freeze("x", timeZone=zone, weekly=[{"from": window[0], "to": window[1]}])

    change = next_change_ms(freeze, now)

    shown = _minutes(*window)
    assert change
    for moment in range(now - 1, change + 1, MINUTE_MS):
        wall = datetime.fromtimestamp(moment / 1_000, UTC).astimezone(ZoneInfo(zone))
        is_open = f"{DAYS[wall.weekday()]} {wall:%H:%M}" in shown
        assert is_open == ((open_window(freeze, now) is not None) == (moment < change))


PLACES = {
    name: Region(name=name, environment=p.environment, attributes=dict(p.attributes))
    for name, p in REGIONS.items()
}
FREEZES = st.fixed_dictionaries(
    {
        "start": st.sampled_from((-1, -1, -1, 0, 1)),
        "hours": st.integers(1, 4),
        "environments": st.lists(st.sampled_from(ENVIRONMENTS), max_size=1),
        "regions": st.just([]) | st.lists(st.sampled_from(sorted(REGIONS)), max_size=2, unique=True),
        "pipelines": st.sampled_from(([], [], ["release"], ["other"])),
    }
)
ACTIONS: tuple[type[TriggerCommand], ...] = (
    *(ApprovePhase, PauseTrigger, UnpauseTrigger, SkipPhase, AdvancePhase) * 3,
    AbortTrigger,
    RollBackTrigger,
    RollOutTrigger,
)
HOUR_MS = 3_600_000


class Frozen(RuleBasedStateMachine):
    """One gate on one pipeline while freezes come and go. A twin says what would happen without them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000 * HOUR_MS
        self.count = 0
        self.state: Feature | None = None
        self.catalogue = Catalogue()
        self.phases: list[dict[str, Any]] = []
        self.freezes: dict[str, tuple[int, int, dict[str, Any]]] = {}

    @initialize(
        pipeline=PIPELINES,
        scope=st.sampled_from(("trigger", "phase")),
        regions=st.sets(st.sampled_from(sorted(REGIONS))),
    )
    def begin(self, pipeline: dict[str, Any], scope: str, regions: set[str]) -> None:
        whole = Pipeline.model_validate({**pipeline, "rollbackScope": scope})
        known = {name: PLACES[name] for name in sorted(regions)}
        self.catalogue = replace(a_catalogue(whole), regions=known)
        self.phases = pipeline["phases"]

    @rule(name=st.sampled_from(("a", "b")), freeze=FREEZES)
    def freeze(self, name: str, freeze: dict[str, Any]) -> None:
        start = self.now + freeze["start"] * HOUR_MS
        end = start + freeze["hours"] * HOUR_MS
        self.freezes[name] = (start, end, freeze)
        self._publish()

    @rule(name=st.sampled_from(("a", "b")))
    def thaw(self, name: str) -> None:
        self.freezes.pop(name, None)
        self._publish()

    @rule(steps=st.integers(1, 8))
    def go_on(self, steps: int) -> None:
        """Let a release get somewhere: wait, and do what it needs."""
        for _ in range(steps):
            trigger = self.state.active_trigger if self.state else None
            if trigger is None:
                self.save(override=False)
            else:
                self.now += max(0, (trigger.due_ms or 0) - self.now)
                needed = {"WAITING_FOR_REVIEW": ApprovePhase, "PAUSED": UnpauseTrigger}
                self.act(needed.get(trigger.status, AdvancePhase), override=False, holds=())

    @rule(jump=st.sampled_from((1, 1_000, 60_000, HOUR_MS, HOUR_MS)))
    def jump(self, jump: int) -> None:
        self.now += jump

    @rule(override=st.booleans())
    def save(self, override: bool) -> None:
        marker = {"name": f"v{self.count}", "conditions": [{"type": "public"}]}
        self._send(SaveFeature, override, feature=a_gate(marker, releasePipelineID="release"))

    @rule(model=st.sampled_from(ACTIONS), override=st.booleans(), holds=st.sampled_from(((), ("quiet",))))
    def act(self, model: type[TriggerCommand], override: bool, holds: tuple[str, ...]) -> None:
        if self.state is None or self.state.trigger is None:
            return
        trigger = self.state.trigger
        fields: dict[str, Any] = {"trigger": trigger.id}
        if issubclass(model, PhaseCommand):
            fields["phase_id"] = trigger.current_run.phase.id
        if model is AdvancePhase:
            fields["holds"] = holds
        self._send(model, override, **fields)

    def _send(self, model: type[FeatureCommand], override: bool, **fields: Any) -> None:
        self.count += 1
        may_override = override and issubclass(model, StartingCommand)
        if may_override:
            fields["override_freeze"] = True
        command = model(id=f"c{self.count}", actor="ada", reason="because", **fields)
        free = replace(self.catalogue, freezes={})
        twin = decide(self.state, command, self.now, free)
        going = command.model_copy(update={"holds": ()}) if isinstance(command, AdvancePhase) else command
        forbidding = self._forbidding(decide(self.state, going, self.now, free))

        decision = decide(self.state, command, self.now, self.catalogue)

        if isinstance(command, AbortTrigger | RollBackTrigger) or not forbidding:
            assert decision == twin, "a freeze that forbids nothing changes nothing"
        elif isinstance(command, AdvancePhase):
            assert not isinstance(decision, Refusal)
            if isinstance(decision, FeatureEvent):
                assert decision.type is EventType.PHASE_HELD
                held = decision.feature.trigger.held if decision.feature.trigger else ()
                assert held[: len(command.holds)] == command.holds
                assert [text.split()[1] for text in held[len(command.holds) :]] == forbidding
            else:
                assert isinstance(decision, Unchanged)
        elif may_override:
            assert isinstance(decision, FeatureEvent)
            assert isinstance(twin, FeatureEvent)
            assert decision.feature.trigger
            assert (
                list(decision.overrode) == forbidding == list(decision.feature.trigger.actions[-1].overrode)
            )
            assert (decision.type, decision.reason) == (twin.type, "because")
        else:
            assert isinstance(decision, Refusal)
            assert decision.code is RefusalCode.FROZEN
        if isinstance(decision, FeatureEvent):
            self.state = decision.feature

    def _forbidding(self, decision: object) -> list[str]:
        """Return which freezes what would happen runs into: whoever gets more than before, and where."""
        if not isinstance(decision, FeatureEvent) or decision.feature.trigger is None:
            return []
        before, after = self.state.trigger if self.state else None, decision.feature.trigger
        if before and before.id != after.id:
            before = None
        had = {n for n, run in enumerate(before.phases) if run.started_ms} if before else set()
        has = {n for n, run in enumerate(after.phases) if run.started_ms}
        done = after.status == "COMPLETED" and not (before and before.status == "COMPLETED")
        return [name for name in sorted(self.freezes) if self._runs_into(name, has - had, had, done)]

    def _runs_into(self, name: str, new: set[int], had: set[int], done: bool) -> bool:
        start, end, scope = self.freezes[name]
        if not start <= self.now < end or "other" in scope["pipelines"]:
            return False
        inside = [
            REGIONS[region]
            for region in self.catalogue.regions
            if (not scope["regions"] or region in scope["regions"])
            and (not scope["environments"] or REGIONS[region].environment in scope["environments"])
        ]
        everywhere = not scope["regions"] and not scope["environments"]

        def reaches(n: int) -> bool:
            named = {e for rule in self.phases[n]["rules"] for e in rule["environments"] or ()}
            by_name = not scope["regions"] and bool(named & set(scope["environments"]))
            return everywhere or by_name or any(covers(self.phases[n], place) for place in inside)

        if any(reaches(n) for n in new):
            return True
        if done and inside:
            # A phase with a condition on the user leaves some of them without.
            whole = [
                {"rules": [rule]}
                for n in had
                for rule in self.phases[n]["rules"]
                if all(c["type"] != "email" and c.get("field") != "tier" for c in rule["conditions"])
            ]
            return any(not any(covers(phase, place) for phase in whole) for place in inside)
        return done and any(reaches(n) for n in set(range(len(self.phases))) - had)

    def _publish(self) -> None:
        documents = {
            name: _freeze(
                name,
                **{
                    "from": datetime.fromtimestamp(start / 1_000, UTC),
                    "to": datetime.fromtimestamp(end / 1_000, UTC),
                    **{kind: scope[kind] for kind in ("environments", "regions", "pipelines")},
                },
            )
            for name, (start, end, scope) in self.freezes.items()
        }
        self.catalogue = replace(self.catalogue, freezes=documents)


def _freeze(name: str, **fields: Any) -> Freeze:
    return Freeze.model_validate({"name": name, **fields})


TestFrozen = Frozen.TestCase
