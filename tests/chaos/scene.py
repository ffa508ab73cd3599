"""One fault while it lasts: what it may touch, and what it does touch."""

import asyncio
import random
import time
from collections.abc import Mapping

from .cluster import Cluster
from .history import Fault, now_ms


class Scene:
    """The cluster and the dice of a fault, and what the history will say of it."""

    def __init__(self, kind: str, cluster: Cluster, dice: random.Random) -> None:
        self.cluster = cluster
        self.dice = dice
        self.hosts_cut_off: tuple[str, ...] = ()
        #: What was not ready as it should have been, although the fault lasted.
        self.unready: dict[str, str] = {}
        self._kind = kind
        self._target = ""
        self._started_ms = now_ms()

    def begin(self, target: str) -> None:
        """Say that the fault begins, and what it touches."""
        self._target = target
        self._started_ms = now_ms()
        self.note(target)

    def note(self, text: str) -> None:
        """Print a line about it."""
        print(f"{time.strftime('%H:%M:%S')} fault: {self._kind}: {text}", flush=True)

    async def last(self, seconds: tuple[float, float]) -> None:
        """Let it last for some time of this range."""
        await asyncio.sleep(self.dice.uniform(*seconds))

    def ended(self, healed_ms: int, unready: Mapping[str, str]) -> Fault:
        """Return what the history says of it; `unready`: what is not ready although it was healed."""
        unready = {**self.unready, **unready}
        return Fault(
            kind=self._kind,
            target=self._target,
            started_ms=self._started_ms,
            healed_ms=healed_ms,
            ready_ms=None if unready else now_ms(),
            unready=unready,
            hosts_cut_off=self.hosts_cut_off,
        )
