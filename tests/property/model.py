"""What must have happened to a feature, learned from the commands that were sent to it.

Without a look at how the product computes it.
"""

from dataclasses import dataclass, field
from typing import Any

from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    ExtendBake,
    PauseTrigger,
    PhaseCommand,
    RollBackTrigger,
    RollOutTrigger,
    SkipPhase,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import Feature
from sluiceway.contracts.rule_document import SpecSet
from sluiceway.pipelines.segments import Location

from .strategies import covers


@dataclass
class Release:
    """Where a trigger must stand, learned from what was asked of it."""

    id: str
    marker: str
    phases: list[dict[str, Any]]
    author: str
    #: Who has approved the phase that waits.
    approvers: set[str] = field(default_factory=set)
    released: set[int] = field(default_factory=set)
    current: int = 0
    status: str = ""
    #: By how much the bake of the current phase was extended.
    extended_ms: int = 0
    #: Baked so far, and since when it bakes (None: it does not).
    baked_ms: int = 0
    since_ms: int | None = None
    actions: list[tuple[str, int, str, str, str | None]] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        return self.status in ("IN_PROGRESS", "PAUSED", "WAITING_FOR_REVIEW")

    @property
    def phase_id(self) -> str:
        return str(self.phases[self.current]["name"])

    def enter(self, index: int, now: int) -> None:
        self.extended_ms, self.baked_ms, self.since_ms, self.approvers = 0, 0, None, set()
        if index == len(self.phases):
            self.status = "COMPLETED"
        elif self.phases[index]["requiredReview"]:
            self.current, self.status = index, "WAITING_FOR_REVIEW"
        else:
            self.current = index
            self.bake(now)

    @property
    def approvals(self) -> dict[str, Any]:
        """What the author of the current phase asks of approvals."""
        anybody = {"count": 1, "allowAuthor": True}
        asked: dict[str, Any] = self.phases[self.current].get("approvals", anybody)
        return asked

    def may_approve(self, person: str) -> bool:
        is_allowed = self.approvals["allowAuthor"] or person != self.author
        return self.status == "WAITING_FOR_REVIEW" and is_allowed and person not in self.approvers

    def bake(self, now: int) -> None:
        self.released.add(self.current)
        self.status, self.since_ms = "IN_PROGRESS", now

    def left_ms(self, now: int) -> int:
        """How much of the bake is left; negative where it is over."""
        baking = now - self.since_ms if self.since_ms is not None else 0
        return self.bake_ms - self.baked_ms - baking

    @property
    def bake_ms(self) -> int:
        """How long the current phase bakes altogether."""
        return int(self.phases[self.current]["timeIntervalMs"]) + self.extended_ms

    def allows(self, command: TriggerCommand, now: int) -> bool:
        """Say whether a command may change anything now."""
        if command.trigger != self.id or not self.is_active:
            return False
        if isinstance(command, PhaseCommand) and command.phase_id != self.phase_id:
            return False
        match command:
            case ApprovePhase():
                return self.may_approve(command.actor)
            case PauseTrigger():
                return self.status == "IN_PROGRESS"
            case UnpauseTrigger():
                return self.status == "PAUSED"
            case ExtendBake():
                return self.status in ("IN_PROGRESS", "PAUSED")
            case AdvancePhase():
                return self.status == "IN_PROGRESS" and self.left_ms(now) <= 0
        return True

    def apply(self, command: TriggerCommand, now: int) -> None:
        match command:
            case ApprovePhase(actor=person):
                self.approvers.add(person)
                if len(self.approvers) == self.approvals["count"]:
                    self.bake(now)
            case PauseTrigger():
                # A bake that was over already keeps nothing: it is due as soon as it runs on.
                self.baked_ms = self.bake_ms - max(0, self.left_ms(now))
                self.since_ms, self.status = None, "PAUSED"
            case UnpauseTrigger():
                self.since_ms, self.status = now, "IN_PROGRESS"
            case ExtendBake(by_ms=by_ms):  # a bake that is over already goes on from now
                self.extended_ms += by_ms - min(0, self.left_ms(now))
            case SkipPhase() | AdvancePhase(holds=()):
                self.enter(self.current + 1, now)
            case AbortTrigger():
                self.status = "ABORTED"
            case RollBackTrigger():
                self.status = "ROLLED_BACK"
            case RollOutTrigger():
                self.status = "COMPLETED"


@dataclass
class Book:
    """What must be so of one feature."""

    log: list[FeatureEvent] = field(default_factory=list)
    #: The version that is live, by its marker.
    base: str | None = None
    archived: bool = False
    release: Release | None = None
    #: The triggers whose candidate must never be seen again.
    taken_back: set[str] = field(default_factory=set)
    #: What was live when the newest trigger started.
    base_before: str | None = None
    specs_before: dict[str, SpecSet] = field(default_factory=dict)
    held: tuple[str, ...] = ()
    runs: int = 0
    versions: int = 0
    is_looked_at: bool = True

    @property
    def state(self) -> Feature | None:
        return self.log[-1].feature if self.log else None

    @property
    def active(self) -> Release | None:
        return self.release if self.release and self.release.is_active else None

    def marker_for(self, place: Location, user: dict[str, Any]) -> str | None:
        """Return the version that must answer a user in a place."""
        if (active := self.active) and any(covers(active.phases[n], place, user) for n in active.released):
            return active.marker
        return self.base

    def markers_in(self, place: Location) -> set[str]:
        """Return the versions that a place may hold any trace of."""
        base = {self.base} if self.base else set()
        active = self.active
        if active is None or not any(covers(active.phases[n], place) for n in active.released):
            return base
        unconditional = any(
            covers({"rules": [rule]}, place)
            and all(c["type"] != "email" and c.get("field") != "tier" for c in rule["conditions"])
            for n in active.released
            for rule in active.phases[n]["rules"]
        )
        return {active.marker} if unconditional else {active.marker, *base}
