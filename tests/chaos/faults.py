"""The faults of a run, one after the other: each is healed, and all is ready again, before the next one."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence

from .cluster import Cluster
from .fault_kinds import KINDS
from .history import Fault, now_ms
from .scene import Scene

#: Everything has to be ready again so soon after a fault is healed.
READY_SECONDS = 90.0
LOOK_EVERY_SECONDS = 0.3
#: Between faults.
PAUSE_SECONDS = (1.0, 5.0)


class Faults:
    """Runs faults of all kinds, in an order that the dice decide."""

    def __init__(self, cluster: Cluster, dice: random.Random, kinds: Sequence[str] = tuple(KINDS)) -> None:
        self.faults: list[Fault] = []
        self._cluster = cluster
        self._dice = dice
        self._kinds = kinds

    async def run(self, seconds: float) -> None:
        """Let one fault after the other happen until `seconds` are over; everything is healed then."""
        end = time.monotonic() + seconds
        for kind in self._in_rounds():
            await asyncio.sleep(self._dice.uniform(*PAUSE_SECONDS))
            if time.monotonic() >= end:
                return
            scene = Scene(kind, self._cluster, self._dice)
            await KINDS[kind](scene)
            healed_ms = now_ms()
            self.faults.append(scene.ended(healed_ms, await self._unready_at_last()))

    def _in_rounds(self) -> Iterator[str]:
        """Yield all kinds in a random order, then again in another one."""
        while True:
            yield from self._dice.sample(self._kinds, len(self._kinds))

    async def _unready_at_last(self) -> dict[str, str]:
        """Wait until everything is ready; return what is not at the end of the bound."""
        end = time.monotonic() + READY_SECONDS
        while unready := await self._cluster.unready():
            if time.monotonic() >= end:
                break
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        return unready
