"""A server that loads its application, then forks its workers, as gunicorn does with `preload_app`.

`python -m tests.integration.client.fork_app NATS_URL CACHE_DIR`: two workers and the parent print one
line each once the gate `checkout` passes.
"""

import os
import sys
import time
from pathlib import Path

from sluiceway.client import Client, User

BOUND_SECONDS = 30.0
WORKERS = 2


def main(nats_url: str, cache_dir: Path) -> int:
    client = Client("dev", url=nats_url, cache_dir=cache_dir).start()
    assert client.wait_until_ready()
    children = [pid for _ in range(WORKERS) if (pid := fork(client))]
    say("forked")
    work("parent", client)
    return sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)


def fork(client: Client) -> int:
    """Return the child's process in the parent; never return in the child."""
    pid = os.fork()
    if pid == 0:
        os._exit(work("child", client))
    return pid


def work(name: str, client: Client) -> int:
    deadline = time.monotonic() + BOUND_SECONDS
    while not client.check_gate(User("ada"), "checkout"):
        if time.monotonic() > deadline:
            say(f"{name} sees nothing")
            return 1
        time.sleep(0.01)
    say(f"{name} sees it")
    return 0


def say(line: str) -> None:
    """Write a whole line at once: the processes share one stdout."""
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
