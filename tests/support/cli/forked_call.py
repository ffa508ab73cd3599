"""`python -IS forked_call.py SOCKET ARGUMENT…`: a call of the command line, forked by `fork_server.py`."""

import json
import os
import signal
import socket
import sys


def main(path: str, arguments: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        environment = {_as_bytes(key): _as_bytes(text) for key, text in os.environ.items()}
        request = {"arguments": [_as_bytes(text) for text in arguments], "environment": environment}
        data = json.dumps(request).encode() + b"\n"
        sent = socket.send_fds(connection, [data], [0, 1, 2])
        connection.sendall(data[sent:])
        # Only the call itself holds the streams, so that their ends are seen.
        os.closerange(0, 3)
        answers = connection.makefile()
        pid = int(answers.readline())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: os.kill(pid, received))
        return int(answers.readline())


def _as_bytes(text: str) -> str:
    """Return the bytes that we were given, one a character: the call decodes them as its own locale says."""
    return os.fsencode(text).decode("latin-1")


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2:])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
