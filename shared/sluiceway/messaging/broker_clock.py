"""The broker's time: what deadlines are compared with, and what events are stamped with.

Hosts disagree about the time, and a clock may jump. The broker's clock is the one that all processes share:
it stamps every message. So each process measures how far its *monotonic* clock, which never jumps, is from
the broker's. The host's own time of day decides nothing; it is only compared.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from nats.errors import Error as NatsError

from ..clock import Clock, now_ms
from ..contracts import subjects
from ..errors import Unavailable, error_text
from .connection import REQUEST_TIMEOUT_SECONDS, Connection

log = logging.getLogger(__name__)

#: The broker is asked for its time this often, and after every reconnect.
MEASURE_EVERY_SECONDS = 5.0
#: … but more often until the first measurement that is at most this wrong.
RETRY_SECONDS = 0.5
EXACT_MS = 100
#: Beyond this difference between the host's clock and the broker's, the log says so.
REPORTED_MS = 2_000
#: Beyond this difference nothing is decided: nobody knows which of the two clocks is wrong.
TOLERATED_MS = 30_000
REPORT_EVERY_SECONDS = 60.0
ADVICE = f"synchronise both with NTP (up to {TOLERATED_MS / 1_000:g} s of difference are tolerated)"
#: Two clocks drift apart by at most this part of the time since they were compared (500 ppm: NTP's limit).
DRIFT = 0.000_5

#: Returns the seconds of a clock that never jumps.
Monotonic = Callable[[], float]


class ClockDiffers(Unavailable):
    """The clock of this host and the broker's differ by too much to decide anything."""

    passes_soon = False


class ClockOffset(NamedTuple):
    """The broker's time minus the monotonic clock, in ms, and by how much the measurement may be wrong."""

    ms: float
    error_ms: float
    #: By the monotonic clock, in seconds.
    measured_at: float

    def or_newer(self, newer: "ClockOffset") -> "ClockOffset":
        """Return the more exact of two offsets; if they contradict, the broker's clock jumped: the newer."""
        error_ms = self.error_ms + (newer.measured_at - self.measured_at) * 1_000 * DRIFT
        if abs(newer.ms - self.ms) > error_ms + newer.error_ms or newer.error_ms <= error_ms:
            return newer
        return self


class BrokerClock:
    """A `Clock` that returns the broker's time, in ms since the epoch, while `run` runs.

    Call it only after `measured`. It never goes back because of a more exact measurement.
    """

    def __init__(
        self,
        connection: Connection,
        host_clock: Clock = now_ms,
        *,
        monotonic: Monotonic = time.monotonic,
        stream: str = subjects.FEATURES_STREAM,
    ) -> None:
        """`stream`: the one whose leader is asked; `host_clock`: what is compared with the broker's time."""
        self._connection = connection
        self._host_clock = host_clock
        self._monotonic = monotonic
        self._request = f"$JS.API.STREAM.INFO.{stream}"
        self._offset: ClockOffset | None = None
        self._latest_ms = 0
        self._measured = asyncio.Event()
        self._wake_up = asyncio.Event()
        self._reported_at: float | None = None

    def __call__(self) -> int:
        assert self._offset, "the clock was not measured yet"
        read_ms = int(self._monotonic() * 1_000 + self._offset.ms)
        if 0 < self._latest_ms - read_ms <= REPORTED_MS:
            return self._latest_ms
        self._latest_ms = read_ms
        return read_ms

    async def measured(self) -> None:
        """Return once the broker's time is known."""
        await self._measured.wait()

    @property
    def difference_ms(self) -> int:
        """How far the host's clock is ahead of the broker's; negative if it is behind."""
        return self._host_clock() - self() if self._offset else 0

    def is_trusted(self) -> bool:
        """Whether the two clocks agree so well that this process may decide."""
        return abs(self.difference_ms) <= TOLERATED_MS

    @property
    def problem(self) -> str | None:
        """Why this process may not decide, and what to do; None if it may."""
        if self._offset is None:
            return "the broker's time is not known yet; is a scheduler running?"
        return None if self.is_trusted() else f"{self._difference()}; nothing is decided: {ADVICE}"

    def check(self) -> None:
        """Raise `ClockDiffers` if this process may not decide."""
        if problem := self.problem:
            raise ClockDiffers(problem)

    async def run(self) -> None:
        """Measure until cancelled."""
        remove_listener = self._connection.on_reconnect(self._wake_up.set)
        try:
            while True:
                await self._measure()
                self._report()
                is_exact = self._offset is not None and self._offset.error_ms <= EXACT_MS
                await self._pause(MEASURE_EVERY_SECONDS if is_exact else RETRY_SECONDS)
        finally:
            remove_listener()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake_up.wait()
        except TimeoutError:
            return
        self._wake_up.clear()

    async def _measure(self) -> None:
        """Ask for the time; half of the round trip is the most by which the answer may be wrong."""
        sent = self._monotonic()
        try:
            reply = await self._connection.client.request(self._request, b"", timeout=REQUEST_TIMEOUT_SECONDS)
            received = self._monotonic()
            broker_ms = _time_ms(reply.data)
        except (NatsError, TimeoutError, OSError, ValueError) as error:
            log.debug("the broker does not tell its time: %s", error_text(error))
            return
        middle, half = (sent + received) / 2, (received - sent) / 2
        newer = ClockOffset(broker_ms - middle * 1_000, half * 1_000, received)
        self._offset = self._offset.or_newer(newer) if self._offset else newer
        self._measured.set()

    def _report(self) -> None:
        """Log a difference that matters, once a minute, and once when it has gone."""
        differs = abs(self.difference_ms) > REPORTED_MS
        now = self._monotonic()
        if not differs:
            if self._reported_at is not None:
                log.info("this host's clock and the broker's agree again")
            self._reported_at = None
        elif self._reported_at is None or now - self._reported_at >= REPORT_EVERY_SECONDS:
            self._reported_at = now
            log.warning("%s", self.problem or f"{self._difference()}: {ADVICE}")

    def _difference(self) -> str:
        seconds = self.difference_ms / 1_000
        way = "ahead of" if seconds > 0 else "behind"
        return f"the clock of this host is {abs(seconds):,.1f} s {way} the broker's"


def _time_ms(reply: bytes) -> float:
    """Return the time in an answer of JetStream; `ValueError` if it has none, as errors have none."""
    answer = json.loads(reply)
    if "ts" not in answer:
        raise ValueError(answer.get("error", {}).get("description", "the answer has no time"))
    return datetime.fromisoformat(answer["ts"]).timestamp() * 1_000
