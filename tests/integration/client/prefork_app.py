"""A server with one worker, told step by step what to do.

`python -m tests.integration.client.prefork_app CLIENT…`: the arguments of the client as JSON. It forks,
then obeys lines of its input: `child sees RULE`, `parent closes`, … Each gives one line when it is done.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from sluiceway.client import Client, User

BOUND_SECONDS = 30.0
#: Python 3.12 and newer warn of every fork beside a thread. The client's thread waits, and holds no lock.
FORK_WARNING = r"This process \(pid=\d+\) is multi-threaded, use of fork\(\)"
ADA = User("ada")


def main(arguments: dict[str, Any], *, starts_early: bool) -> int:
    if "cache_dir" in arguments:
        arguments["cache_dir"] = Path(arguments["cache_dir"])
    client = Client("dev", **arguments)
    if starts_early:
        assert client.start().wait_until_ready()
    warnings.filterwarnings("ignore", FORK_WARNING, DeprecationWarning)
    to_read, to_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(to_write)
        obey(client, "child", os.fdopen(to_read))
        os._exit(0)
    os.close(to_read)
    with os.fdopen(to_write, "w") as child:
        obey(client, "parent", sys.stdin, child)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def obey(client: Client, me: str, orders: Iterable[str], child: TextIO | None = None) -> None:
    """Do what is meant for this process; the parent hands on what is meant for the child."""
    for order in orders:
        who, verb, *rest = order.split()
        if who != me and child:
            print(order.strip(), file=child, flush=True)
        elif verb == "sees":
            until(client, rest[0])
            print(me, "sees", rest[0], flush=True)
        elif verb == "starts":
            assert client.start().wait_until_ready()
            print(me, "started", flush=True)
        elif verb == "closes":
            client.close()
            print(me, "closed", flush=True)


def until(client: Client, rule: str) -> None:
    """Return once a rule decides about the gate."""
    deadline = time.monotonic() + BOUND_SECONDS
    while client.evaluate(ADA, "checkout").rule_id != rule:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{client.evaluate(ADA, 'checkout')} instead of {rule}")
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[2]), starts_early=sys.argv[1] == "early"))
