"""Load over HTTP/1.1: prebuilt requests on keep-alive connections, each with one request at a time.

Bare sockets in one thread, so that the server is busy long before its load is.
"""

import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, takewhile

from .measure import Samples

ANSWER_SECONDS_MAX = 10.0
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "
OK = b"HTTP/1.1 200 "


@dataclass
class Load:
    """What some rounds with one server took."""

    latencies: Samples = field(default_factory=Samples)
    seconds: float = 0.0
    #: Of these, how long this process has computed.
    busy_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.latencies.milliseconds) / self.seconds


class _Caller:
    """A connection, and the request that is under way on it."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._begin = 0.0
        self._answer = b""

    def send(self, request: bytes) -> None:
        self._answer = b""
        self._begin = time.perf_counter()
        self.socket.sendall(request)

    def answer(self) -> bytes | None:
        """Read what is there; return the answer once it is whole."""
        chunk = self.socket.recv(65_536)
        assert chunk, f"the server has closed the connection after {self._answer!r}"
        self._answer += chunk
        return self._answer if is_whole(self._answer) else None

    def milliseconds(self) -> float:
        return (time.perf_counter() - self._begin) * 1_000


def ask(url: str, request: bytes) -> bytes:
    """Send one request; return the answer, with its head."""
    caller = _Caller(url)
    with caller.socket:
        caller.send(request)
        while (answer := caller.answer()) is None:
            pass
        return answer


def put_load(load: Load, url: str, requests: Sequence[bytes], connections: int, for_seconds: float) -> None:
    """Send requests as fast as the answers come; each must be a 200. The last are waited for."""
    with ExitStack() as stack, select.epoll() as poll:
        callers: dict[int, _Caller] = {}
        for _ in range(connections):
            caller = _Caller(url)
            stack.enter_context(caller.socket)
            callers[caller.socket.fileno()] = caller
            poll.register(caller.socket, select.EPOLLIN)
        begin, busy = time.perf_counter(), time.process_time()
        coming = _until(begin + for_seconds, requests)
        for caller, request in zip(callers.values(), coming, strict=False):
            caller.send(request)
        _answer_all(load.latencies, poll, callers, coming)
        load.seconds += time.perf_counter() - begin
        load.busy_seconds += time.process_time() - busy


def _until(end: float, requests: Sequence[bytes]) -> Iterator[bytes]:
    return takewhile(lambda _: time.perf_counter() < end, cycle(requests))


def _answer_all(
    latencies: Samples, poll: select.epoll, callers: dict[int, _Caller], coming: Iterator[bytes]
) -> None:
    missing = len(callers)
    while missing:
        ready = poll.poll(ANSWER_SECONDS_MAX)
        assert ready, f"{missing} answers did not come within {ANSWER_SECONDS_MAX:g} s"
        for descriptor, _ in ready:
            caller = callers[descriptor]
            if (answer := caller.answer()) is None:
                continue
            latencies.milliseconds.append(caller.milliseconds())
            assert answer.startswith(OK), answer
            if request := next(coming, None):
                caller.send(request)
            else:
                missing -= 1


def is_whole(answer: bytes) -> bool:
    """Return whether an answer is there up to its last byte."""
    head = answer.find(HEAD_END)
    if head < 0:
        return False
    start = answer.index(LENGTH) + len(LENGTH)
    return len(answer) == head + len(HEAD_END) + int(answer[start : answer.index(b"\r", start)])


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep this process, and every process that it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
