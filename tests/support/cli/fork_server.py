"""Forks calls of the command line: an interpreter that has imported it already starts one in milliseconds.

`python -m tests.support.cli.fork_server SOCKET` serves `forked_call.py` until its standard input ends.
Each call is a process of its own, with the standard streams, environment and arguments of whoever calls.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from sluiceway.cli.main import main as sluiceway

REQUEST_BYTES_MAX = 1_000_000
STREAMS = 3


def serve(path: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who supervise a call
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("listening", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                break
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _supervise(connection)
            connection.close()
    Path(path).unlink()
    Path(path).parent.rmdir()


def _supervise(connection: socket.socket) -> None:
    """Run a call in a child process, report how it ended, and kill it if its caller goes away."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, streams, _, _ = socket.recv_fds(connection, REQUEST_BYTES_MAX, STREAMS)
    while not data.endswith(b"\n"):
        data += connection.recv(REQUEST_BYTES_MAX)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _call(json.loads(data), streams)
    for stream in streams:
        os.close(stream)
    connection.sendall(b"%d\n" % pid)
    ended = os.pidfd_open(pid)
    watched: list[Any] = [ended, connection]
    ready, _, _ = select.select(watched, [], [])
    if ended not in ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _call(request: Any, streams: list[int]) -> None:
    """Become the call; never returns."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.environ.clear()
    os.environb.update({_bytes(key): _bytes(text) for key, text in request["environment"].items()})
    time.tzset()
    sys.argv = ["sluiceway", *(os.fsdecode(_bytes(text)) for text in request["arguments"])]
    code: Any = 0
    try:
        sluiceway()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


if __name__ == "__main__":
    serve(sys.argv[1])
