"""Argon2 hashes of keys, computed beside the loop: addresses take turns, whatever each of them sends."""

import asyncio
import math
from collections.abc import Callable
from typing import NamedTuple

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from sluiceway.errors import Unavailable
from sluiceway.fair_queue import FairQueue, SenderLimits

#: How long a request waits for its hash.
WAIT_SECONDS = 10.0


class _Hash(NamedTuple):
    request: Request
    function: Callable[[], bool]
    result: asyncio.Future[bool]


class HashQueue:
    """A lane of hashes. What is left of a client that has gone is not computed."""

    def __init__(self, workers: int, limits: SenderLimits) -> None:
        """`workers`: hashes at a time; `limits`: those of one address."""
        self._limits = limits
        self._queue: FairQueue[_Hash] = FairQueue(self._compute, workers)

    async def run(self, request: Request, address: str, function: Callable[[], bool]) -> bool:
        """Return what `function` returns in a thread, once it is the turn of an address.

        429 if the address sends too many; `Unavailable` if its turn does not come in time. The body of the
        request must have been read: to look whether its client has left would lose a part of it.
        """
        hash_ = _Hash(request, function, asyncio.get_running_loop().create_future())
        retry_seconds = self._queue.put(address, self._limits, hash_, size=0)
        if retry_seconds is not None:
            wait = max(1, math.ceil(retry_seconds))
            text = f"too many keys from your address; retry in {wait} s"
            raise HTTPException(429, text, headers={"Retry-After": str(wait)})
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await hash_.result
        except TimeoutError:
            raise Unavailable("too many keys are being verified") from None

    async def _compute(self, hash_: _Hash) -> None:
        if hash_.result.done():  # nobody waits for it any more
            return
        if await hash_.request.is_disconnected():
            hash_.result.set_exception(ClientDisconnect())
            return
        computing = asyncio.ensure_future(asyncio.to_thread(hash_.function))
        await asyncio.wait({computing})
        if not hash_.result.done():
            _copy(computing, hash_.result)


def _copy(done: asyncio.Future[bool], result: asyncio.Future[bool]) -> None:
    if error := done.exception():
        result.set_exception(error)
    else:
        result.set_result(done.result())
