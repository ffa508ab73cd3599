"""How much the commands of each sender may store: streams without a limit would keep it for good."""

import time
from collections.abc import Awaitable, Callable

from cachetools import LRUCache

from sluiceway.contracts.commands import TAKING_BACK_VERBS, Command
from sluiceway.contracts.identity import MONITOR
from sluiceway.contracts.replies import Refusal, RefusalCode, Reply
from sluiceway.messaging.delivery import refusal_reply
from sluiceway.pipelines import refusals
from sluiceway.token_bucket import TokenBucket

from . import metrics

#: Bytes of a key, or of a person who uses the console, after a rest: 300 documents of 200 kB.
STORED_BYTES_MAX = 64 * 2**20
#: After that, 360 MB an hour: a document of 200 kB every two seconds.
STORED_BYTES_PER_SECOND = 100_000
#: Senders remembered. The least recent one is forgotten first, and starts again with everything.
SENDERS_MAX = 10_000

Handle = Callable[[Command], Awaitable[Reply]]
OnStored = Callable[[Command, int], None]


class StorageBudget:
    """The bytes that each sender may store; one command may go beyond, and the next one waits for that.

    What takes something back is free, and so is what the monitor sends. Each of them ends something that
    somebody's command has started. Senders without an identity cannot be told apart.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: LRUCache[tuple[str, ...], TokenBucket] = LRUCache(SENDERS_MAX)

    def charge(self, command: Command, size: int) -> None:
        """Count what a command has stored."""
        if bucket := self._bucket(command):
            bucket.spend(self._clock(), size)

    def refusal(self, command: Command) -> Refusal | None:
        """Return why a command has to wait; None if it may be handled."""
        bucket = self._bucket(command)
        seconds = bucket.seconds_until_next(self._clock()) if bucket else 0
        if not seconds:
            return None
        return refusals.stores_too_much(command.actor, STORED_BYTES_MAX, STORED_BYTES_PER_SECOND, seconds)

    def _bucket(self, command: Command) -> TokenBucket | None:
        """Return the budget that a command counts for; None if it is free."""
        identity = command.identity
        if identity is None or identity.vouched_by == MONITOR or command.verb in TAKING_BACK_VERBS:
            return None
        bucket = self._buckets.get(identity.sender)
        if bucket is None:
            bucket = TokenBucket(STORED_BYTES_MAX, STORED_BYTES_PER_SECOND, self._clock())
            self._buckets[identity.sender] = bucket
        return bucket


def within_budget(handle: Handle, budget: StorageBudget) -> Handle:
    """Return `handle`, which refuses commands of senders who have stored too much lately."""

    async def checked(command: Command) -> Reply:
        if refusal := budget.refusal(command):
            metrics.command_counter(command.verb, RefusalCode.RATE_LIMITED).inc()
            return refusal_reply(refusal)
        return await handle(command)

    return checked
