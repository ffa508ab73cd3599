"""When this process could do nothing: what it asks for and records is late by as much.

The machine may be busy with other things, or stand still. That excuses times of answers, and nothing else.
"""

import asyncio
import time

from .history import LoopDelay, now_ms

LOOK_EVERY_SECONDS = 0.1
#: A shorter delay is not recorded: no bound of the checker is near it.
DELAY_MS_MIN = 250


async def watch_loop(into: list[LoopDelay]) -> None:
    """Record for how long the loop was held up, until cancelled."""
    while True:
        due = time.monotonic() + LOOK_EVERY_SECONDS
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        late_ms = int((time.monotonic() - due) * 1_000)
        if late_ms >= DELAY_MS_MIN:
            now = now_ms()
            into.append(LoopDelay(first_ms=now - late_ms, last_ms=now))
