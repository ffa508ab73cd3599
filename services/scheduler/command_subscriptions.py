"""The subscriptions to commands: to all of them, or, for a while, to those of everybody but a flooding key.

What the broker does not deliver costs nothing, and nothing waits behind it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from cachetools import LRUCache
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import TAKING_BACK_VERBS
from sluiceway.contracts.identity import CONSOLE, MONITOR
from sluiceway.errors import error_text
from sluiceway.messaging.nats_client import Receive, StreamClient

log = logging.getLogger(__name__)

#: A key floods that is refused more commands than this in each of so many seconds in a row: a burst is none,
FLOOD_COMMANDS = 300
FLOOD_WINDOWS = 3
#: or more than this within one second,
FLOOD_COMMANDS_AT_ONCE = 1_000
#: or more bytes than this within one second,
FLOOD_BYTES_AT_ONCE = 5 * 2**20
#: or, if it was shut out lately, more commands than this within one second.
FLOOD_AGAIN_COMMANDS = 30
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


class _Lane(NamedTuple):
    """The commands of one key that take something back, or its others."""

    principal: str
    takes_back: bool


class _Excess(NamedTuple):
    """What was refused in the second that began at `since`, and in how many before it there was a flood."""

    since: float
    windows: int = 0
    commands: int = 0
    bytes: int = 0

    def at(self, now: float) -> "_Excess":
        """Return what was refused in the second of `now`."""
        if now - self.since <= WINDOW_SECONDS:
            return self
        goes_on = self.commands > FLOOD_COMMANDS and now - self.since <= 2 * WINDOW_SECONDS
        return _Excess(now, self.windows + 1 if goes_on else 0)

    def is_flood(self, was_shut_out: bool) -> bool:
        is_last_window = self.windows >= FLOOD_WINDOWS - 1
        commands_max = FLOOD_COMMANDS if is_last_window else FLOOD_COMMANDS_AT_ONCE
        if was_shut_out:
            commands_max = FLOOD_AGAIN_COMMANDS
        return self.commands > commands_max or self.bytes > FLOOD_BYTES_AT_ONCE


class _ShutOut(NamedTuple):
    until: float
    seconds: float


class CommandSubscriptions:
    """Subscribes to commands; `run` must run meanwhile."""

    def __init__(
        self,
        client: StreamClient,
        receive: Receive,
        key_ids: Callable[[], Iterable[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`key_ids`: the ids of all keys, who are listened to while one of them is shut out."""
        self._client = client
        self._receive = receive
        self._key_ids = key_ids
        self._clock = clock
        self._excess: LRUCache[_Lane, _Excess] = LRUCache(SENDERS_MAX)
        self._last: LRUCache[_Lane, _ShutOut] = LRUCache(SENDERS_MAX)
        self._shut_out: dict[_Lane, float] = {}
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

    def is_shut_out(self, principal: str | None, verb: str) -> bool:
        """Return whether such commands of a sender are not looked at now; some may still arrive."""
        if principal is None or not self._shut_out:
            return False
        lanes = {_Lane(principal, True), _Lane(principal, verb in TAKING_BACK_VERBS)}
        return not lanes.isdisjoint(self._shut_out)

    def record_refusal(self, principal: str | None, verb: str, size: int) -> None:
        """Count a command that was refused because its sender sends too many; shut out a key that goes on.

        What takes something back is still listened to, unless the key floods that as well. Not the console,
        the monitor, or senders without a name: they stand for many.
        """
        if principal in (None, CONSOLE, MONITOR):
            return
        lane, now = _Lane(principal, verb in TAKING_BACK_VERBS), self._clock()
        excess = self._excess.get(lane, _Excess(now)).at(now)
        excess = excess._replace(commands=excess.commands + 1, bytes=excess.bytes + size)
        self._excess[lane] = excess
        last = self._recent(lane, now)
        if excess.is_flood(last is not None) and lane not in self._shut_out:
            seconds = min(2 * last.seconds, SHUT_OUT_SECONDS_MAX) if last else SHUT_OUT_SECONDS
            self._shut(lane, _ShutOut(now + seconds, seconds))

    def _recent(self, lane: _Lane, now: float) -> _ShutOut | None:
        """Return the last time that a key was shut out, for as long afterwards as that took."""
        last = self._last.get(lane)
        return last if last and now - last.until < last.seconds else None

    def _shut(self, lane: _Lane, shut_out: _ShutOut) -> None:
        what = "it" if lane.takes_back else "it, except for what takes something back,"
        log.warning("the key %s floods: not listening to %s for %g s", lane.principal, what, shut_out.seconds)
        self._last[lane] = shut_out
        self._shut_out[lane] = shut_out.until
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
                self._shut_out = {lane: until for lane, until in self._shut_out.items() if until > now}
            await self._listen_to({subjects.COMMANDS})

    def _all_but_shut_out(self) -> set[str]:
        known = {CONSOLE, MONITOR, *self._key_ids()}
        wholly = {lane.principal for lane in self._shut_out if lane.takes_back}
        partly = {lane.principal for lane in self._shut_out} - wholly
        return {
            subjects.command("*"),
            *(subjects.command("*", sender) for sender in known - wholly - partly),
            *(subjects.command(verb, sender) for sender in known & partly for verb in TAKING_BACK_VERBS),
        }

    async def _listen_to(self, wanted: set[str]) -> None:
        """Subscribe to these subjects, and then to no other: no command is missed or received twice.

        The broker does both in this order. To wait for it in between would be to wait behind a flood.
        """
        try:
            for subject in wanted - self._subscriptions.keys():
                self._subscriptions[subject] = await self._client.receive_now(
                    subject, self._receive, queue=subjects.SCHEDULER_QUEUE
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
