"""The two roads on which rules reach an application: NATS itself, or the HTTP of a region's edge."""

import contextlib
import http.client
import logging
import socket
import threading
import uuid
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import msgspec
from pydantic import ValidationError

from ..backoff import Backoff
from ..errors import Misconfigured
from ..messaging.stream_follower import START, Position
from .region import RegionRules

log = logging.getLogger(__name__)

#: An edge holds a request for 8 s; whatever is silent for longer is gone.
ANSWER_SECONDS = 12.0
RETRY_FIRST_SECONDS = 0.2
RETRY_MAX_SECONDS = 5.0
#: Every client loses an edge at the same moment.
RETRY_JITTER = 0.5
#: For a transport to come to a halt before a fork.
PAUSE_SECONDS = 2.0
PATH = "/sluiceway/v1/rules"


class Transport(Protocol):
    """Keeps rules new, in a thread of its own, until it is stopped."""

    def follow(self, rules: RegionRules, ready: Callable[[], None]) -> None:
        """Follow until `stop` is called; `ready` once all that the region holds now is applied."""

    def stop(self) -> None:
        """End `follow`; may be called from any thread."""

    def pause(self) -> None:
        """Let `follow` stand still where it holds no lock, so that the process may fork; waits for it."""

    def resume(self) -> None:
        """Let `follow` go on."""


class Unauthorized(Exception):
    """The edge does not accept the key."""


class _Answer(msgspec.Struct):
    has_updates: bool
    time: int = 0
    checksum: str = ""
    created: str = ""
    sequence: int = 0
    documents: list[msgspec.Raw] = []


class EdgeTransport:
    """Long polls of an edge: a change arrives within milliseconds, through any proxy."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured(f"{url!r} is no address of an edge; give http(s)://host:port")
        self._parts = parts
        self._key = key
        self._instance = uuid.uuid4().hex
        self._stopped = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._time, self._checksum = 0, ""
        # Held but for the waits: whoever has it may fork, for no lock of a library is held then.
        self._working = threading.Lock()
        self._is_paused = False

    def follow(self, rules: RegionRules, ready: Callable[[], None]) -> None:
        try:
            self._follow(rules, ready)
        finally:
            self._disconnect()

    def _follow(self, rules: RegionRules, ready: Callable[[], None]) -> None:
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS, jitter=RETRY_JITTER)
        while not self._stopped.is_set():
            try:
                status, body = self._ask()
                with self._working:
                    self._take(rules, _answer(status, body))
                ready()
                backoff.reset()
            except Unauthorized:
                log.error("the edge at %s does not accept the key", self._parts.netloc)
                self._pause(RETRY_MAX_SECONDS)
            except (OSError, http.client.HTTPException, msgspec.MsgspecError, ValidationError) as error:
                if not self._stopped.is_set():
                    log.warning("the edge at %s does not answer: %s", self._parts.netloc, error)
                self._pause(backoff.next_seconds())

    def stop(self) -> None:
        self._stopped.set()
        connection = self._connection
        if connection and connection.sock:
            # Wakes the thread that waits for the answer.
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def pause(self) -> None:
        self._is_paused = self._working.acquire(timeout=PAUSE_SECONDS)

    def resume(self) -> None:
        if self._is_paused:
            self._working.release()
            self._is_paused = False

    def _ask(self) -> tuple[int, bytes]:
        if self._connection is None:
            secure = self._parts.scheme == "https"
            connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            self._connection = connect(self._parts.hostname or "", self._parts.port, timeout=ANSWER_SECONDS)
        if self._connection.sock is None:
            self._connection.connect()
            # `stop` found no socket yet that it could have shut down.
            if self._stopped.is_set():
                raise ConnectionAbortedError("stopped")
        query = {"sinceTime": self._time, "checksum": self._checksum} if self._time else {}
        headers = {"statsig-api-key": self._key, "statsig-server-session-id": self._instance}
        path = f"{self._parts.path.rstrip('/')}{PATH}?{urlencode(query)}"
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def _take(self, rules: RegionRules, answer: _Answer) -> None:
        if not answer.has_updates or answer.time < self._time:
            return
        position = Position(answer.created, answer.sequence)
        held = rules.position
        # What the disk held may be newer than what a replica that lags behind knows.
        if held is START or held.created != position.created or held.sequence <= position.sequence:
            rules.replace(map(bytes, answer.documents), position)
        self._time, self._checksum = answer.time, answer.checksum

    def _pause(self, seconds: float) -> None:
        self._disconnect()
        self._stopped.wait(seconds)

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


def _answer(status: int, body: bytes) -> _Answer:
    if status == http.client.UNAUTHORIZED:
        raise Unauthorized
    if status != http.client.OK:
        raise http.client.HTTPException(f"{status} {body[:200]!r}")
    return msgspec.json.decode(body, type=_Answer)
