"""Rules over the HTTP of an edge, by long polling: a change arrives in milliseconds, through any proxy."""

import contextlib
import http.client
import logging
import socket
import threading
import uuid
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

import msgspec
from pydantic import ValidationError

from ..backoff import Backoff
from ..errors import DECODE_ERRORS, Misconfigured
from ..messaging.stream_records import Position
from ..redaction import hide_userinfo
from .region_rules import RegionRules
from .transport import PAUSE_SECONDS

log = logging.getLogger(__name__)

#: An edge holds a request for 8 s; after a longer silence the connection counts as lost.
ANSWER_SECONDS = 12.0
RETRY_FIRST_SECONDS = 0.2
RETRY_MAX_SECONDS = 5.0
#: Every client loses an edge at the same moment.
RETRY_JITTER = 0.5
PATH = "/sluiceway/v1/rules"


class Unauthorized(Exception):
    """The edge does not accept the key."""


class _Answer(msgspec.Struct):
    has_updates: bool
    time: int = 0
    checksum: str = ""
    created: str = ""
    sequence: int = 0
    epoch: int = 0
    documents: list[msgspec.Raw] = []


class EdgeTransport:
    """Polls an edge for rules that are newer than the last ones."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured(f"invalid edge URL {hide_userinfo(url)!r}: use http(s)://HOST:PORT")
        self._parts = parts
        self._name = hide_userinfo(parts.netloc)
        self._key = key
        self._instance = uuid.uuid4().hex
        self._stopped = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._time, self._checksum = 0, ""
        # Held except while waiting: the thread that has it may fork, since no library holds a lock then.
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
                status, body = self._poll()
                with self._working:
                    self._apply(rules, _parse(status, body))
                    rules.retry_store()
                ready()
                backoff.reset()
            except Unauthorized:
                log.error("the edge at %s does not accept the key", self._name)
                self._wait(RETRY_MAX_SECONDS)
            except (OSError, http.client.HTTPException, *DECODE_ERRORS, ValidationError) as error:
                if not self._stopped.is_set():
                    log.warning("the edge at %s does not answer: %s", self._name, error)
                self._wait(backoff.next_seconds())

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

    def _poll(self) -> tuple[int, bytes]:
        connection = self._connected()
        query = {"sinceTime": self._time, "checksum": self._checksum} if self._time else {}
        headers = {"statsig-api-key": self._key, "statsig-server-session-id": self._instance}
        path = f"{self._parts.path.rstrip('/')}{PATH}?{urlencode(query)}"
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            is_tls = self._parts.scheme == "https"
            connect = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
            self._connection = connect(self._parts.hostname or "", self._parts.port, timeout=ANSWER_SECONDS)
        if self._connection.sock is None:
            self._connection.connect()
            # `stop` may have been called before there was a socket to shut down.
            if self._stopped.is_set():
                raise ConnectionAbortedError("stopped")
        return self._connection

    def _apply(self, rules: RegionRules, answer: _Answer) -> None:
        if not answer.has_updates or answer.time < self._time:
            return
        # The rules from disk may be newer than those of a replica that lags behind.
        if not rules.is_whole or answer.time >= rules.time_ms:
            position = Position(answer.created, answer.sequence, answer.time)
            rules.replace(map(bytes, answer.documents), position, answer.epoch)
        self._time, self._checksum = answer.time, answer.checksum

    def _wait(self, seconds: float) -> None:
        self._disconnect()
        self._stopped.wait(seconds)

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


def _parse(status: int, body: bytes) -> _Answer:
    if status == http.client.UNAUTHORIZED:
        raise Unauthorized
    if status != http.client.OK:
        raise http.client.HTTPException(f"status {status}: {body[:200]!r}")
    return msgspec.json.decode(body, type=_Answer)
