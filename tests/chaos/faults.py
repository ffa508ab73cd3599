"""The faults of a run, one after the other: each is healed, and all is ready again, before the next one."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from .cluster import Cluster
from .history import Fault, now_ms
from .processes import HostProcess

#: Everything has to be ready again so soon after a fault is healed.
READY_SECONDS = 90.0
LOOK_EVERY_SECONDS = 0.3
#: Between faults, and how long something stays down.
PAUSE_SECONDS = (1.0, 5.0)
DOWN_SECONDS = (0.0, 6.0)


class Scene:
    """One fault while it lasts: what it may touch, and what it does touch."""

    def __init__(self, kind: str, cluster: Cluster, dice: random.Random) -> None:
        self.cluster = cluster
        self.dice = dice
        self.hosts_cut_off: tuple[str, ...] = ()
        self.target = ""
        self._kind = kind
        self._started_ms = now_ms()

    def begin(self, target: str) -> None:
        """Say that the fault begins, and what it touches."""
        self.target = target
        self._started_ms = now_ms()
        print(f"{time.strftime('%H:%M:%S')} fault: {self._kind}: {target}", flush=True)

    async def last(self, seconds: tuple[float, float]) -> None:
        """Let it last for some time of this range."""
        await asyncio.sleep(self.dice.uniform(*seconds))

    def fault(self, healed_ms: int, ready_ms: int | None, unready: Mapping[str, str]) -> Fault:
        """Return what the history says of it."""
        return Fault(
            kind=self._kind,
            target=self.target,
            started_ms=self._started_ms,
            healed_ms=healed_ms,
            ready_ms=ready_ms,
            unready=dict(unready),
            hosts_cut_off=self.hosts_cut_off,
        )


#: Does something, lets it last, and heals it.
Kind = Callable[[Scene], Awaitable[None]]


async def kill_broker(scene: Scene) -> None:
    """Kill a broker, and start it again."""
    await _kill(scene, scene.dice.choice(scene.cluster.brokers))


async def kill_service(scene: Scene) -> None:
    """Kill a service or an edge, and start it again."""
    await _kill(scene, scene.dice.choice(scene.cluster.asking()))


async def _kill(scene: Scene, process: HostProcess) -> None:
    scene.begin(process.name)
    try:
        await process.take_down(signal.SIGKILL)
        await scene.last(DOWN_SECONDS)
    finally:
        process.let_run()


KINDS: Mapping[str, Kind] = {
    "kill a broker": kill_broker,
    "kill a service": kill_service,
}


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
            unready = await self._unready_at_last()
            self.faults.append(scene.fault(healed_ms, None if unready else now_ms(), unready))

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
