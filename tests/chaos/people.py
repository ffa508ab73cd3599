"""People who release gates: each release has a story, and gets what it waits for until it has ended."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    ArchiveFeature,
    FeatureCommand,
    PauseTrigger,
    PhaseCommand,
    RollOutTrigger,
    SaveFeature,
    SkipPhase,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.errors import Unavailable
from tests.support.system import EVERYONE

from .history import SentCommand
from .sender import Sender, Stuck

#: A release may be held by an instance that is cut off: until it is back, or has been silent for a minute.
GET_ON_SECONDS = 120.0
LOOK_EVERY_SECONDS = 0.2
#: Releases of a gate, before it is archived.
RELEASES_OF_GATE = 4
#: Between the releases of a person, and before something is done to one.
PAUSE_SECONDS = (0.2, 1.5)
#: Pipelines through all regions; the last phase of the second one waits for a review.
FAST, REVIEWED = "fast", "reviewed"

Act = Callable[["Person", str], Awaitable[None]]


class Person:
    """Somebody with a gate, which they release again and again."""

    def __init__(self, sender: Sender, name: str, gate: str, dice: random.Random) -> None:
        self.name = name
        self.gate = gate
        self.dice = dice
        self._sender = sender
        self._key = FeatureKey(FeatureKind.GATE, gate)

    async def use_gate(self, is_ending: Callable[[], bool]) -> None:
        """Create the gate, release it several times, and archive it, unless the run ends."""
        await self._save({})
        for number in range(RELEASES_OF_GATE):
            if is_ending():
                return
            await self._release(number)
            await self.pause()
        await self.send(ArchiveFeature, kind=self._key.kind, name=self.gate)

    async def pause(self) -> None:
        await asyncio.sleep(self.dice.uniform(*PAUSE_SECONDS))

    async def send(self, model: type[FeatureCommand], **fields: Any) -> SentCommand:
        return await self._sender.send(model, actor=self.name, **fields)

    async def act(self, model: type[TriggerCommand], trigger: Trigger) -> SentCommand:
        """Send a command to a release, meant for its current phase."""
        fields = {"phase_id": trigger.current_run.phase.id} if issubclass(model, PhaseCommand) else {}
        return await self.send(model, trigger=trigger.id, **fields)

    async def _release(self, number: int) -> None:
        story = self.dice.choice(STORIES)
        await self._save(
            {
                "releasePipelineID": story.pipeline,
                "description": f"{story.pipeline} {number}",
                "rules": [EVERYONE] if number % 2 == 0 else [],
            }
        )
        trigger = await self.trigger()
        if trigger is None or not trigger.status.is_active:  # it was refused
            return
        await self.pause()
        if story.act:
            await story.act(self, trigger.id)
        await self.act(AbortTrigger, await self._finish(trigger.id))  # is refused, as it has ended

    async def _save(self, fields: Mapping[str, Any]) -> None:
        await self.send(SaveFeature, feature={"kind": "FeatureGate", "name": self.gate, **fields})

    async def trigger(self) -> Trigger | None:
        """Return the newest release of the gate, as some replica of the log knows it."""
        async with asyncio.timeout(GET_ON_SECONDS):
            while True:
                try:
                    tail = await self._sender.driver.log.newest_tail(self._key)
                except Unavailable:
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
                    continue
                return tail.logged.event.feature.trigger if tail.logged else None

    async def until(self, trigger_id: str, is_reached: Callable[[Trigger], bool]) -> Trigger:
        """Wait until a release is as expected; `Stuck` if that takes too long."""
        trigger = await self.trigger()
        try:
            async with asyncio.timeout(GET_ON_SECONDS):
                while trigger is None or trigger.id != trigger_id or not is_reached(trigger):
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
                    trigger = await self.trigger()
        except TimeoutError:
            text = f"{trigger.status} in {trigger.current_run.phase.id} {trigger.held}" if trigger else "none"
            self._sender.record_stuck(trigger_id, text)
            raise Stuck(f"{trigger_id}: {text}") from None
        return trigger

    async def fire(self, trigger: Trigger) -> None:
        await self._sender.fire(self.gate, trigger.id)

    async def _finish(self, trigger_id: str) -> Trigger:
        """Do what a release waits for, until it has ended; return it."""
        while True:
            trigger = await self.until(trigger_id, _waits_for_somebody)
            match trigger.status:
                case TriggerStatus.WAITING_FOR_REVIEW:
                    await self.act(ApprovePhase, trigger)
                case TriggerStatus.PAUSED:
                    await self.act(UnpauseTrigger, trigger)
                case _:
                    return trigger


class Story(NamedTuple):
    """What happens to a release, beside what it waits for."""

    pipeline: str
    act: Act | None = None


def _acting(model: type[TriggerCommand]) -> Act:
    """Return what sends a command to a release, whatever its phase is by then."""

    async def act(person: Person, trigger_id: str) -> None:
        trigger = await person.trigger()
        if trigger and trigger.id == trigger_id and trigger.status.is_active:
            await person.act(model, trigger)

    return act


async def _pause_and_go_on(person: Person, trigger_id: str) -> None:
    await _acting(PauseTrigger)(person, trigger_id)
    await person.pause()


async def _be_rolled_back(person: Person, trigger_id: str) -> None:
    """Let an alert fire about a release that cannot end by itself, and wait until it is taken back."""
    trigger = await person.until(trigger_id, lambda trigger: trigger.status in REVIEWED_STATUSES)
    if trigger.status is TriggerStatus.WAITING_FOR_REVIEW:
        await person.fire(trigger)
        await person.until(trigger_id, lambda trigger: not trigger.status.is_active)


REVIEWED_STATUSES = (TriggerStatus.WAITING_FOR_REVIEW, TriggerStatus.COMPLETED)
STORIES = (
    Story(FAST),
    Story(REVIEWED),
    Story(REVIEWED, _be_rolled_back),
    Story(FAST, _pause_and_go_on),
    Story(FAST, _acting(AbortTrigger)),
    Story(REVIEWED, _acting(AbortTrigger)),
    Story(FAST, _acting(SkipPhase)),
    Story(REVIEWED, _acting(RollOutTrigger)),
)


def _waits_for_somebody(trigger: Trigger) -> bool:
    return trigger.status is not TriggerStatus.IN_PROGRESS
