"""More and more people at the same time, and two who save the same gate all the time."""

import asyncio
import contextlib
import random

from sluiceway.contracts.commands import SaveEnvironment, SaveFeature, SavePipeline, SaveRegion
from tests.support import catalogues
from tests.support.system import Driver

from .cluster import REGIONS
from .people import FAST, REVIEWED, Person
from .sender import Sender, Stuck

EDITORS = ("editor-1", "editor-2")
EDITED_GATE = "edited"
EDIT_EVERY_SECONDS = 0.5
BAKE_MS = 400


class Load:
    """Who works, and whether they go on."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._is_ending = False

    async def run(self, people: int, seconds: float, dice: random.Random) -> None:
        """Let people come one after the other, and work until `seconds` are over and all releases ended."""
        async with asyncio.TaskGroup() as group:
            for name in EDITORS:
                group.create_task(self._edit(name))
            for number in range(people):
                group.create_task(self._work(f"person-{number}", random.Random(dice.random())))
                await asyncio.sleep(seconds / (people + 1))
            await asyncio.sleep(seconds / (people + 1))
            self._is_ending = True

    async def _work(self, name: str, dice: random.Random) -> None:
        gates = 0
        while not self._is_ending:
            gates += 1
            gate = f"{name}-gate-{gates}"
            try:
                await Person(self._sender, name, gate, dice).use_gate(lambda: self._is_ending)
            except Stuck as stuck:
                print(f"stuck: {stuck}", flush=True)
            except TimeoutError:
                self._sender.record_stuck(gate, "the log does not answer")

    async def _edit(self, name: str) -> None:
        """Save a gate without releases again and again, so that each stall meets commands that race."""
        edits = 0
        while not self._is_ending:
            edits += 1
            document = {"kind": "FeatureGate", "name": EDITED_GATE, "description": f"{name} {edits}"}
            with contextlib.suppress(Stuck):  # it is recorded
                await self._sender.send(SaveFeature, actor=name, feature=document)
            await asyncio.sleep(EDIT_EVERY_SECONDS)


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
