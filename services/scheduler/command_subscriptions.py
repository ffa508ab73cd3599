"""The subscriptions to commands: to all of them, or, for a while, to those of everybody but a flooding key.

What the broker does not deliver costs nothing, and nothing waits behind it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from cachetools import LRUCache
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from sluiceway.contracts import subjects
from sluiceway.contracts.identity import CONSOLE, MONITOR
from sluiceway.errors import error_text

log = logging.getLogger(__name__)

#: A key that is refused so much in one second, beyond all that may wait, floods: one for each command,
FLOOD_WEIGHT = 300
#: and one for so many bytes of it.
FLOOD_WEIGHT_BYTES = 16 * 1024
#: A key that was shut out lately has so much instead.
FLOOD_AGAIN_WEIGHT = 30
WINDOW_SECONDS = 1.0
#: A flooding key is not listened to for this time, doubled each time that it goes on afterwards.
SHUT_OUT_SECONDS = 5.0
SHUT_OUT_SECONDS_MAX = 60.0
#: Keys that are created meanwhile are listened to after this time.
REFRESH_SECONDS = 0.1
#: Senders whose excess is remembered.
SENDERS_MAX = 10_000
#: For NATS to learn of a subscription.
SUBSCRIBED_WITHIN_SECONDS = 2


class _Excess(NamedTuple):
    weight: int
    since: float


class _ShutOut(NamedTuple):
    until: float
    seconds: float


class CommandSubscriptions:
    """Subscribes to commands; `run` must run meanwhile."""

    def __init__(
        self,
        client: Client,
        receive: Callable[[Msg], Awaitable[None]],
        key_ids: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`key_ids`: the ids of all keys, who are listened to while one of them is shut out."""
        self._client = client
        self._receive = receive
        self._key_ids = key_ids
        self._clock = clock
        self._excess: LRUCache[str, _Excess] = LRUCache(SENDERS_MAX)
        self._last: LRUCache[str, _ShutOut] = LRUCache(SENDERS_MAX)
        self._shut_out: dict[str, float] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._wake_up = asyncio.Event()

    async def start(self) -> None:
        """Subscribe to all commands."""
        await self._listen_to({subjects.COMMANDS})
        with suppress(NatsError, TimeoutError):  # a connection that is lost subscribes again by itself
            await self._client.flush(SUBSCRIBED_WITHIN_SECONDS)

    async def stop(self) -> None:
        """Take no more commands."""
        for ending in self._ending:
            ending.cancel()
        with suppress(NatsError):  # there is nothing to end if the connection is lost
            for subscription in self._subscriptions.values():
                await subscription.unsubscribe()

    def is_shut_out(self, principal: str | None) -> bool:
        """Return whether nothing of a sender is looked at now; what it sent before may still arrive."""
        return principal in self._shut_out

    def record_refusal(self, principal: str | None, size: int) -> None:
        """Count a command that was refused because its sender sends too many; shut out a key that goes on.

        Not the console, the monitor, or senders without a name: they stand for many.
        """
        if principal in (None, CONSOLE, MONITOR):
            return
        now = self._clock()
        excess = self._excess.get(principal)
        if excess is None or now - excess.since > WINDOW_SECONDS:
            excess = _Excess(0, now)
        excess = excess._replace(weight=excess.weight + 1 + size // FLOOD_WEIGHT_BYTES)
        self._excess[principal] = excess
        last = self._recent(principal, now)
        weight_max = FLOOD_AGAIN_WEIGHT if last else FLOOD_WEIGHT
        if excess.weight > weight_max and principal not in self._shut_out:
            seconds = min(2 * last.seconds, SHUT_OUT_SECONDS_MAX) if last else SHUT_OUT_SECONDS
            self._shut(principal, _ShutOut(now + seconds, seconds))

    def _recent(self, principal: str, now: float) -> _ShutOut | None:
        """Return the last time that a key was shut out, for as long afterwards as that took."""
        last = self._last.get(principal)
        return last if last and now - last.until < last.seconds else None

    def _shut(self, principal: str, shut_out: _ShutOut) -> None:
        log.warning("the key %s floods: not listening to it for %g s", principal, shut_out.seconds)
        self._last[principal] = shut_out
        self._shut_out[principal] = shut_out.until
        self._wake_up.set()

    async def run(self) -> None:
        """Subscribe as floods come and go, until cancelled."""
        while True:
            await self._wake_up.wait()
            self._wake_up.clear()
            while self._shut_out:
                await self._listen_to(self._all_but_shut_out())
                await asyncio.sleep(REFRESH_SECONDS)
                now = self._clock()
                self._shut_out = {key: until for key, until in self._shut_out.items() if until > now}
            await self._listen_to({subjects.COMMANDS})

    def _all_but_shut_out(self) -> set[str]:
        senders = {CONSOLE, MONITOR, *self._key_ids()} - self._shut_out.keys()
        return {subjects.command("*"), *(subjects.command("*", sender) for sender in senders)}

    async def _listen_to(self, wanted: set[str]) -> None:
        """Subscribe to these subjects, and then to no other: no command is missed or received twice.

        The broker does both in this order. To wait for it in between would be to wait behind a flood.
        """
        try:
            for subject in wanted - self._subscriptions.keys():
                self._subscriptions[subject] = await self._client.subscribe(
                    subject, queue=subjects.SCHEDULER_QUEUE, cb=self._receive
                )
            for subject in self._subscriptions.keys() - wanted:
                ending = asyncio.create_task(_end(self._subscriptions.pop(subject)))
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
        except NatsError as error:  # a connection that is lost subscribes again by itself
            log.warning("cannot change the subscriptions now: %s", error_text(error))


async def _end(subscription: Subscription) -> None:
    """End a subscription once what the broker has sent for it is received; that may be a flood."""
    try:
        await subscription.drain()  # type: ignore[no-untyped-call]
    except (NatsError, TimeoutError) as error:
        log.warning("cannot end a subscription now: %s", error_text(error))
