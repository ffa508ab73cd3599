"""Releases, more and more at the same time: people start, approve, pause and abort them, and alerts fire."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from nats.errors import Error as NatsError

from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    ArchiveFeature,
    FeatureCommand,
    PauseTrigger,
    PhaseCommand,
    RollOutTrigger,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
    SaveRegion,
    SkipPhase,
    TriggerCommand,
    UnpauseTrigger,
)
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import RefusalCode, Reply
from sluiceway.errors import Unavailable
from tests.support import catalogues
from tests.support.system import EVERYONE, Driver

from .cluster import REGIONS
from .history import SentAlert, SentCommand, StuckRelease, now_ms

#: A command is sent again, with its id, for so long.
ANSWER_SECONDS = 90.0
RETRY_SECONDS = 0.2
#: A release may be held by an instance that is cut off: until it is back, or has been silent for a minute.
GET_ON_SECONDS = 120.0
LOOK_EVERY_SECONDS = 0.2
#: Releases of a gate, before it is archived and the next one is made.
RELEASES_OF_GATE = 4
#: Between the releases of a person, and before something is done to one.
PAUSE_SECONDS = (0.2, 1.5)
EDIT_EVERY_SECONDS = 0.5
BAKE_MS = 400
#: Pipelines through all regions; the last phase of the second one waits for a review.
FAST, REVIEWED = "fast", "reviewed"

Act = Callable[["Person", str], Awaitable[None]]


class Stuck(Exception):
    """Something did not get on within its bound; it is recorded."""


class Load:
    """What people have sent, and whether they go on."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.commands: list[SentCommand] = []
        self.alerts: list[SentAlert] = []
        self.stuck: list[StuckRelease] = []
        self.is_ending = False

    async def run(self, people: int, seconds: float, dice: random.Random) -> None:
        """Let people come one after the other, and work until `seconds` are over and all releases ended."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._edit("editor"))
            for number in range(people):
                group.create_task(self._work(f"person-{number}", random.Random(dice.random())))
                await asyncio.sleep(seconds / (people + 1))
            await asyncio.sleep(seconds / (people + 1))
            self.is_ending = True

    async def _work(self, name: str, dice: random.Random) -> None:
        gates = 0
        while not self.is_ending:
            gates += 1
            gate = f"{name}-gate-{gates}"
            try:
                await Person(self, name, gate, dice).use_gate()
            except Stuck as stuck:
                print(f"stuck: {stuck}", flush=True)
            except TimeoutError:
                self.stuck.append(
                    StuckRelease(trigger=gate, time_ms=now_ms(), state="the log does not answer")
                )

    async def _edit(self, name: str) -> None:
        """Save a gate without releases again and again, so that each stall meets a command."""
        edits = 0
        while not self.is_ending:
            edits += 1
            document = {"kind": "FeatureGate", "name": name, "description": str(edits)}
            with contextlib.suppress(Stuck):  # it is recorded
                await self.send(SaveFeature, actor=name, feature=document)
            await asyncio.sleep(EDIT_EVERY_SECONDS)

    async def send(self, model: type[FeatureCommand], **fields: Any) -> SentCommand:
        """Send a command, with one id, until it is answered; `Stuck` if that takes too long."""
        command = model.model_validate({"id": uuid4().hex, "reason": "chaos", **fields})
        sent = SentCommand(id=command.id, verb=command.verb, feature=str(command.key), sent_ms=now_ms())
        reply, retries = None, 0
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while (reply := await self._attempt(command)) is None:
                    retries += 1
                    await asyncio.sleep(RETRY_SECONDS)
        except TimeoutError:
            self.commands.append(sent.model_copy(update={"retries": retries}))
            raise Stuck(f"{command.verb} {command.key} was not answered in {ANSWER_SECONDS:g} s") from None
        answered = sent.model_copy(update={"retries": retries, "answered_ms": now_ms(), **_content(reply)})
        self.commands.append(answered)
        return answered

    async def _attempt(self, command: FeatureCommand) -> Reply | None:
        try:
            reply = await self.driver.commands.send(command)
        except Unavailable:
            return None
        is_unavailable = reply.refusal is not None and reply.refusal.code is RefusalCode.UNAVAILABLE
        return None if is_unavailable else reply

    async def fire(self, gate: str, trigger: str) -> None:
        """Publish an alert about a gate until the broker has acknowledged it."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                try:
                    await self.driver.alert("Boom", gate=gate)
                    break
                except (NatsError, TimeoutError):
                    await asyncio.sleep(RETRY_SECONDS)
        self.alerts.append(SentAlert(trigger=trigger, acknowledged_ms=now_ms()))


class Person:
    """Somebody with a gate, which they release again and again."""

    def __init__(self, load: Load, name: str, gate: str, dice: random.Random) -> None:
        self.name = name
        self.gate = gate
        self.dice = dice
        self._load = load
        self._key = FeatureKey(FeatureKind.GATE, gate)

    async def use_gate(self) -> None:
        """Create the gate, release it several times, and archive it."""
        await self._save({})
        for number in range(RELEASES_OF_GATE):
            if self._load.is_ending:
                return
            await self._release(number)
            await self.pause()
        await self.send(ArchiveFeature, kind=self._key.kind, name=self.gate)

    async def pause(self) -> None:
        await asyncio.sleep(self.dice.uniform(*PAUSE_SECONDS))

    async def send(self, model: type[FeatureCommand], **fields: Any) -> SentCommand:
        return await self._load.send(model, actor=self.name, **fields)

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
        await self._finish(trigger.id)

    async def _save(self, fields: Mapping[str, Any]) -> None:
        await self.send(SaveFeature, feature={"kind": "FeatureGate", "name": self.gate, **fields})

    async def trigger(self) -> Trigger | None:
        """Return the newest release of the gate, as some replica of the log knows it."""
        async with asyncio.timeout(GET_ON_SECONDS):
            while True:
                try:
                    tail = await self._load.driver.log.newest_tail(self._key)
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
            self._load.stuck.append(StuckRelease(trigger=trigger_id, time_ms=now_ms(), state=text))
            raise Stuck(f"{trigger_id}: {text}") from None
        return trigger

    async def fire(self, trigger: Trigger) -> None:
        await self._load.fire(self.gate, trigger.id)

    async def _finish(self, trigger_id: str) -> None:
        """Do what a release waits for, until it has ended."""
        while True:
            trigger = await self.until(trigger_id, _waits_for_somebody)
            match trigger.status:
                case TriggerStatus.WAITING_FOR_REVIEW:
                    await self.act(ApprovePhase, trigger)
                case TriggerStatus.PAUSED:
                    await self.act(UnpauseTrigger, trigger)
                case _:
                    return


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


async def save_catalogue(driver: Driver) -> None:
    """Save environments, regions and pipelines."""
    for environment in dict.fromkeys(catalogues.REGIONS[region] for region in REGIONS):
        await driver.saved(SaveEnvironment, environment={"name": environment})
    for region in REGIONS:
        await driver.saved(SaveRegion, region=catalogues.region(region))
    for name in (FAST, REVIEWED):
        phases = [
            catalogues.phase(region, bake_ms=BAKE_MS, review=name == REVIEWED and region == REGIONS[-1])
            for region in REGIONS
        ]
        await driver.saved(SavePipeline, pipeline=catalogues.pipeline(*phases, name=name))


def _waits_for_somebody(trigger: Trigger) -> bool:
    return trigger.status is not TriggerStatus.IN_PROGRESS


def _content(reply: Reply) -> dict[str, Any]:
    return {
        "outcome": reply.outcome,
        "is_resent": "already applied" in (reply.message or ""),
        "revision": reply.revision,
        "refusal": reply.refusal.code if reply.refusal else None,
    }
