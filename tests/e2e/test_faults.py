"""`kill -9` of any process at random moments of a release; afterwards the laws still hold.

The seed is printed; `SLUICEWAY_FAULT_SEED=…` repeats a run's choices.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nats.errors import Error as NatsError

from sluiceway.contracts.commands import (
    ApprovePhase,
    Command,
    SaveEnvironment,
    SaveFeature,
    SavePipeline,
    SaveRegion,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import Outcome, Reply
from sluiceway.errors import Unavailable
from sluiceway.messaging.feature_log import LoggedEvent
from tests.support.catalogues import PIPELINE, REGIONS, phase, pipeline, region
from tests.support.local import LocalSystem, local_system
from tests.support.system import EVERYONE, Driver, Follower, driving, following
from tests.support.waiting import eventually

BAKE_MS = 400
KILLS = 8
BOUND_SECONDS = 60.0
GATE = "checkout"
KEY = FeatureKey(FeatureKind.GATE, GATE)


@dataclass
class Chaos:
    """The system under fire, and what was answered meanwhile."""

    system: LocalSystem
    driver: Driver
    followers: dict[str, Follower]
    dice: random.Random
    answered: set[str] = field(default_factory=set)

    async def insist(self, command: Command) -> Reply:
        """Send a command, with its one id, until somebody answers it."""

        async def attempt() -> Reply | None:
            try:
                return await self.driver.commands.send(command)
            except Unavailable:
                return None

        reply = await eventually(attempt, f"{command.verb} is answered", BOUND_SECONDS)
        if reply.outcome is not Outcome.REFUSED:
            self.answered.add(command.id)
        return reply

    async def kill_at_random(self) -> None:
        names = [*self.system.processes(), "broker", "scheduler", "evaluator_publisher"]
        for _ in range(KILLS):
            await asyncio.sleep(self.dice.uniform(0.05, 0.5))  # the moment of the fault
            name = self.dice.choice(names)
            print(f"kill -9 {name}: {self.system.kill(name)}")

    async def history(self) -> list[LoggedEvent]:
        async def read() -> list[LoggedEvent] | None:
            try:
                return await self.driver.log.read_history(KEY)
            except Unavailable:
                return None

        return await eventually(read, "the log can be read", BOUND_SECONDS)

    async def until(self, *statuses: TriggerStatus) -> Trigger:
        async def look() -> Trigger | None:
            trigger = (await self.history())[-1].event.feature.trigger
            return trigger if trigger and trigger.status in statuses else None

        return await eventually(look, f"the trigger is {statuses}", BOUND_SECONDS)


@pytest.mark.full
async def test_a_release_under_kills_ends_as_it_should(tmp_path: Path) -> None:
    async with chaos(tmp_path) as run:
        trigger = await _start_release(run)
        killing = asyncio.create_task(run.kill_at_random())

        await run.until(TriggerStatus.WAITING_FOR_REVIEW)
        await run.insist(ApprovePhase(actor="ada", trigger=trigger, phase_id="prod-us-west"))
        await killing
        ended = await run.until(TriggerStatus.COMPLETED)

        for follower in run.followers.values():
            await eventually(partial(follower.passes, GATE), "the region has it", BOUND_SECONDS)
        await _laws_hold(run, ended)


async def test_a_rollback_under_kills_reaches_every_region_and_stays(tmp_path: Path) -> None:
    async with chaos(tmp_path) as run:
        await _start_release(run)
        await run.until(TriggerStatus.WAITING_FOR_REVIEW)
        killing = asyncio.create_task(run.kill_at_random())

        await eventually(lambda: _fired(run), "the alert is stored", BOUND_SECONDS)
        ended = await run.until(TriggerStatus.ROLLED_BACK)
        await killing

        revision = (await run.history())[-1].sequence
        for follower in run.followers.values():
            await eventually(partial(_is_off, follower), "the region is back", BOUND_SECONDS)
        for name in ("dev", "staging"):
            await eventually(
                partial(_is_at, run.followers[name], revision), "the fence is there", BOUND_SECONDS
            )
        await _laws_hold(run, ended)


@asynccontextmanager
async def chaos(data_dir: Path) -> AsyncIterator[Chaos]:
    seed = int(os.environ.get("SLUICEWAY_FAULT_SEED", random.SystemRandom().randrange(10**6)))
    print(f"SLUICEWAY_FAULT_SEED={seed}")
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(local_system(data_dir, "--no-catalogue"))
        driver = await stack.enter_async_context(driving(system.nats_url))
        run = Chaos(system, driver, {}, random.Random(seed))
        await _save_catalogue(run)
        for name in REGIONS:
            run.followers[name] = await stack.enter_async_context(following(system.nats_url, name))
        edges = {f"edge-{name}" for name in REGIONS}
        await eventually(lambda: edges <= system.processes().keys(), "every region has its edge")
        yield run


async def _save_catalogue(run: Chaos) -> None:
    phases = [phase(name, bake_ms=BAKE_MS, review=name == "prod-us-west") for name in REGIONS]
    for environment in dict.fromkeys(REGIONS.values()):
        await run.insist(_command(SaveEnvironment, environment={"name": environment}))
    for name in REGIONS:
        await run.insist(_command(SaveRegion, region=region(name)))
    await run.insist(_command(SavePipeline, pipeline=pipeline(*phases)))


async def _start_release(run: Chaos) -> str:
    document: dict[str, Any] = {"kind": "FeatureGate", "name": GATE}
    await run.insist(_command(SaveFeature, feature=document))
    change = {**document, "rules": [EVERYONE], "releasePipelineID": PIPELINE}
    reply = await run.insist(_command(SaveFeature, feature=change))
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


def _command(model: type[Command], **fields: Any) -> Command:
    return model.model_validate({"actor": "ada", "reason": "a test", **fields})


def _is_off(follower: Follower) -> bool:
    return not follower.passes(GATE)


def _is_at(follower: Follower, revision: int) -> bool:
    return follower.rules.revision(KEY) == revision


async def _fired(run: Chaos) -> bool:
    try:
        await run.driver.alert("Boom", gate=GATE)
    except (NatsError, TimeoutError):
        return False
    return True


async def _laws_hold(run: Chaos, ended: Trigger) -> None:
    history = await run.history()
    events = [logged.event for logged in history]
    starts = _starts(history)
    for name, follower in run.followers.items():
        revisions = [change.revision for change in follower.changes]
        assert revisions == sorted(revisions), f"law 6: {name} went back"
        if name not in starts:
            assert ended.status is TriggerStatus.ROLLED_BACK, f"law 1: {name}"
            assert not follower.passes(GATE), f"law 1: {name}"
    assert [event.type for event in events].count(EventType.TRIGGER_STARTED) == 1, "law 3"
    for earlier, later in zip(ended.phases, ended.phases[1:], strict=False):
        if later.started_ms is not None:
            assert earlier.started_ms is not None, "law 4"
            assert later.started_ms - earlier.started_ms >= BAKE_MS, "law 4: the bake was not over"
    recorded = {event.command_id for event in events}
    about_gate = {id_ for id_ in run.answered if id_ in recorded}
    assert len(about_gate) >= 2, "law 5: an answered command is not in the log"
    assert all(event.actor_id and event.time_ms for event in events), "law 7"
    times = [event.time_ms for event in events]
    assert times == sorted(times), "law 7"


def _starts(history: list[LoggedEvent]) -> dict[str, int]:
    """Return the sequence with which each phase was released."""
    starts: dict[str, int] = {}
    for sequence, event in history:
        trigger = event.feature.trigger
        for run in trigger.phases if trigger else ():
            if run.started_ms is not None:
                starts.setdefault(run.phase.id, sequence)
    return starts
