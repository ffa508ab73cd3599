"""How old the link of an edge to the publishers is, also through a leaf node or a copy of the rules.

An edge is connected to a broker near it. Whether anything gets there from the publishers is told by their
heartbeats alone, from the start on: an edge whose link is down cannot tell whether there are publishers that
send them. Ages are measured by this host's monotonic clock: no other clock counts.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pydantic import ValidationError

from sluiceway.contracts import subjects
from sluiceway.contracts.heartbeats import Heartbeat
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.nats_client import RawMessage
from sluiceway.repeated_logs import RepeatedLogs

log = logging.getLogger(__name__)

#: Rules may be old once nothing proves for so long that they are not; three heartbeats have to be lost.
STALE_AFTER_SECONDS = 10.0


class LinkAge:
    """Compares what publishers say with what is applied."""

    def __init__(
        self, region: str, *, expects_heartbeats: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Without `expects_heartbeats`, silence counts from the first heartbeat only."""
        #: Returns the sequence in RULES up to which everything is applied.
        self.applied: Callable[[], int] = lambda: 0
        self._region = region
        self._clock = clock
        self._repeated = RepeatedLogs(log)
        self._sequence = 0
        self._started_at = clock() if expects_heartbeats else None
        #: When the last heartbeat arrived; None before the first one.
        self._heard_at: float | None = None
        #: When the last heartbeat arrived whose sequence was applied since.
        self._current_at = 0.0

    @asynccontextmanager
    async def follow(self, connection: Connection) -> AsyncIterator[None]:
        """Receive heartbeats while the block runs."""
        subscription = await connection.client.receive_now(subjects.heartbeat(self._region), self.receive)
        try:
            yield
        finally:
            if not connection.client.is_closed:
                await subscription.unsubscribe()

    def receive(self, message: RawMessage) -> None:
        """Take a heartbeat; an invalid one is ignored."""
        try:
            heartbeat = Heartbeat.model_validate_json(message.data)
        except ValidationError as error:
            self._repeated.warning("invalid", "ignoring an invalid heartbeat: %s", error)
            return
        now = self._clock()
        if self._heard_at is None:
            self._current_at = now
        self._settle()
        self._sequence, self._heard_at = heartbeat.sequence, now

    @property
    def problem(self) -> str | None:
        """Why the rules may be old; None if they are not."""
        now = self._clock()
        if self._heard_at is None:
            return self._unheard_problem(now)
        self._settle()
        if (silent := now - self._heard_at) > STALE_AFTER_SECONDS:
            return (
                f"no word from a publisher for {silent:.0f} s: the link to them is down, or all of them are"
            )
        if (behind := now - self._current_at) > STALE_AFTER_SECONDS:
            return (
                f"behind for {behind:.0f} s: message {self._sequence} of RULES is published, and "
                f"{self.applied()} applied; the copy of the rules, or the link to it, is down"
            )
        return None

    def _unheard_problem(self, now: float) -> str | None:
        if self._started_at is None or (silent := now - self._started_at) <= STALE_AFTER_SECONDS:
            return None
        return (
            f"no word from a publisher since the start {silent:.0f} s ago: the link to them is down, none "
            "runs, or the broker's permissions or all publishers are of an older version"
        )

    def _settle(self) -> None:
        """Note whether what the last heartbeat spoke of is applied now."""
        if self._heard_at is not None and self.applied() >= self._sequence:
            self._current_at = self._heard_at
