"""Whether the broker stores what this process writes.

A store that has reached its limit refuses each message, and stores again as soon as there is space. A disk
that is full is worse: nats-server stops writing to each stream whose write failed, until it is restarted, and
answers nothing. That looks like a slow broker, but it still answers questions about the stream. So does the
leader of a stream that has lost its replicas: a stream with replicas counts as stuck only after
some time, and if most of them are heard.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError

from ..contracts import subjects
from ..errors import error_text
from ..telemetry import metrics
from .history_loss import hears_most

log = logging.getLogger(__name__)

#: Error codes of a store that has reached a limit: of the account, of the server, of the server's storage.
FULL_CODES = frozenset((10002, 10023, 10047))
FULL = (
    "the store is full: the broker has no space left ({error}); raise max_file_store or the limit of the "
    "account. To purge the streams DEAD_LETTERS, VERDICTS and MEASUREMENTS makes some space until then"
)
STUCK = (
    "the store is full, or was: the broker answers, but stores nothing in the stream {stream}; free space on "
    'its disk, and restart nats-server if its log says "Critical write error"'
)
#: For the acknowledgement of a message to a stream that did not store the one before.
STUCK_TIMEOUT_SECONDS = 0.5
#: For each question about a stream, and for a probe.
ANSWER_SECONDS = 0.6
#: A leader that was elected so lately was not there to answer the message before.
NEW_LEADER_SECONDS = 10.0
#: A stream with replicas that stores nothing for so long elects no leader.
STUCK_SECONDS = 10.0
#: A probe is written at most this often.
PROBE_EVERY_SECONDS = 2.0
#: A smaller probe could still fit into the last block of a disk that is full.
PROBE = bytes(8 * 1024)


class _State(msgspec.Struct):
    last_seq: int


class _Replica(msgspec.Struct):
    name: str
    #: How long ago the leader has heard it, in nanoseconds.
    active: int = 0


class _Group(msgspec.Struct):
    leader: str = ""
    #: Only of a cluster.
    leader_since: datetime | None = None
    replicas: tuple[_Replica, ...] = ()


class _StreamInfo(msgspec.Struct):
    """What is read of what the leader of a stream says of it."""

    state: _State
    ts: datetime
    cluster: _Group | None = None

    @property
    def is_newly_led(self) -> bool:
        """Whether the stream had no leader, or another one, a moment ago."""
        since = self.cluster.leader_since if self.cluster else None
        return since is not None and (self.ts - since).total_seconds() < NEW_LEADER_SECONDS

    @property
    def has_replicas(self) -> bool:
        """Whether other brokers have to store a message as well."""
        return bool(self.cluster and self.cluster.replicas)

    @property
    def is_led(self) -> bool:
        """Whether a leader answers that hears most replicas, or a broker that needs none."""
        if not (self.cluster and self.cluster.replicas):
            return True
        return hears_most(self.cluster.leader, {each.name: each.active for each in self.cluster.replicas})


_STREAM_INFOS = msgspec.json.Decoder(_StreamInfo)


class WriteFailure(NamedTuple):
    """Why a stream did not store the last message, and its last sequence then."""

    reason: str
    is_stuck: bool
    last_sequence: int = 0


class _Silence(NamedTuple):
    """When a stream that has a leader was first and last without an acknowledgement, by the loop's clock."""

    first: float
    last: float
    last_sequence: int


class WriteHealth:
    """What became of the last write to each stream, and a probe for the time without writes."""

    def __init__(self, client: Client, js: JetStreamContext) -> None:
        self._client = client
        self._js = js
        #: Counts the connections: what was under way when one broke does not tell of a full store.
        self.connections = 0
        self._failures: dict[str, WriteFailure] = {}
        #: Of streams that have not stored the last message.
        self._silences: dict[str, _Silence] = {}
        self._probed_at: float | None = None
        self._probing = asyncio.Lock()
        self._was_probe_stored = False
        #: Makes the stream of probes again, if this process may: nothing in it is worth keeping.
        self.recreate_probes: Callable[[], Awaitable[None]] | None = None

    def timeout(self, stream: str) -> float | None:
        """Return for how long to wait for an acknowledgement; None: as usual."""
        failure = self._failures.get(stream)
        return STUCK_TIMEOUT_SECONDS if failure and failure.is_stuck else None

    def record_stored(self, stream: str) -> None:
        """Record that a stream has stored a message."""
        self._failures.pop(stream, None)
        self._silences.pop(stream, None)

    async def record_failure(self, stream: str, error: Exception, connection: int) -> WriteFailure | None:
        """Record that a message was not stored; return why, if the store is the reason.

        `connection`: the number of the connection when the message was sent.
        """
        failure = await self._failure(stream, error)
        if failure is None or connection != self.connections:
            return None
        metrics.WRITES_NOT_STORED.labels(stream).inc()
        if stream not in self._failures:
            log.error("%s", failure.reason)
        self._failures[stream] = failure
        return failure

    def forget(self) -> None:
        """Forget all failures: this is a new connection, perhaps to a broker that was restarted."""
        self.connections += 1
        self._failures.clear()
        self._silences.clear()
        self._probed_at = None

    async def problem(self, service: str) -> str | None:
        """Return why this process cannot write; None if it can."""
        async with self._probing:
            now = asyncio.get_running_loop().time()
            if self._probed_at is None or now - self._probed_at >= PROBE_EVERY_SECONDS:
                await self._probe(subjects.probe(service))
                await self._forget_recovered()
                self._probed_at = asyncio.get_running_loop().time()
        reasons = dict.fromkeys(failure.reason for failure in self._failures.values())
        return "; ".join(reasons) or None

    async def _probe(self, subject: str) -> None:
        """Write a message that replaces the one before it."""
        connection = self.connections
        try:
            await self._js.publish(subject, PROBE, timeout=ANSWER_SECONDS)
        except (NatsError, TimeoutError) as error:
            if await self.record_failure(subjects.PROBES_STREAM, error, connection) is None:
                text = f"cannot write to the stream {subjects.PROBES_STREAM}: {_text(error)}"
                self._failures[subjects.PROBES_STREAM] = WriteFailure(text, is_stuck=False)
            elif not self._was_probe_stored:
                text = f"no answer on {subject}: this user may not publish there, or the store is full"
                self._failures[subjects.PROBES_STREAM] = WriteFailure(text, is_stuck=True)
            if self._failures[subjects.PROBES_STREAM].is_stuck and self.recreate_probes:
                await self.recreate_probes()
            return
        self._was_probe_stored = True
        self.record_stored(subjects.PROBES_STREAM)
        for stream, failure in tuple(self._failures.items()):
            if not failure.is_stuck:  # there is space again, for every stream
                del self._failures[stream]

    async def _forget_recovered(self) -> None:
        """Forget failures of streams that have stored something since, of whatever process."""
        for stream, failure in tuple(self._failures.items()):
            if failure.is_stuck and stream != subjects.PROBES_STREAM:
                info = await self._stream_info(stream)
                if info and info.state.last_seq > failure.last_sequence:
                    self._failures.pop(stream, None)

    async def _failure(self, stream: str, error: Exception) -> WriteFailure | None:
        if isinstance(error, APIError):
            is_full = error.err_code in FULL_CODES
            reason = FULL.format(error=error.description)
            return WriteFailure(reason, is_stuck=False) if is_full else None
        if not isinstance(error, TimeoutError):
            return None
        info = await self._stream_info(stream)
        if info is None or info.is_newly_led or not info.is_led:  # away, or without a leader: no full disk
            self._silences.pop(stream, None)
            return None
        if info.has_replicas and self._silent_seconds(stream, info.state.last_seq) < STUCK_SECONDS:
            return None
        return WriteFailure(STUCK.format(stream=stream), is_stuck=True, last_sequence=info.state.last_seq)

    def _silent_seconds(self, stream: str, last_sequence: int) -> float:
        """Return for how long a stream that has a leader has stored nothing, as far as it was tried."""
        now = asyncio.get_running_loop().time()
        known = self._silences.get(stream)
        is_same = known and known.last_sequence == last_sequence and now - known.last <= STUCK_SECONDS
        first = known.first if known and is_same else now
        self._silences[stream] = _Silence(first, now, last_sequence)
        return now - first

    async def _stream_info(self, stream: str) -> _StreamInfo | None:
        """Return what the leader of a stream says of it; None if the broker does not answer."""
        try:
            subject = f"$JS.API.STREAM.INFO.{stream}"
            reply = await self._client.request(subject, b"", timeout=ANSWER_SECONDS)
            return _STREAM_INFOS.decode(reply.data)
        except (NatsError, TimeoutError, msgspec.MsgspecError):
            return None


def _text(error: Exception) -> str:
    if isinstance(error, NoStreamResponseError):
        return "it does not exist; is a scheduler of this version running?"
    return error_text(error)
