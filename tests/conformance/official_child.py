"""A process that serves one rule set to the real SDK and tells what its answers were.

Reads a JSON object from standard input: `payload` (the rule set), `user`, `gates`, and `calls` (how often
each is asked). Prints `LOADED` as soon as the SDK follows the rule set, then one line of JSON. What it is
asked to do may kill it, which is why it is a process of its own.
"""

import json
import os
import resource
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: The line that says that the rule set was accepted, so what follows is the fault of an evaluation.
LOADED = "loaded"
#: The gate that every rule set carries and everyone passes; its answer shows that the rule set is in use.
CONTROL_GATE = "control"
#: A runaway recursion may not take more than the usual 8 MiB, whatever the machine allows.
STACK_BYTES = 8 * 1024 * 1024
INIT_TIMEOUT_MS = 3000


def serve(payload: object) -> str:
    """Serve `payload` to every GET on a free port of the loopback, and give the address."""
    body = json.dumps(payload).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.answer(b"{}")

        def answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Keep standard error for the SDK."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def start_sdk(address: str) -> Any:
    """Give an initialized SDK that knows no other host than `address`."""
    from statsig_python_core import Statsig, StatsigOptions

    options = StatsigOptions(
        specs_url=f"{address}/v2/download_config_specs",
        log_event_url=f"{address}/v1/log_event",
        id_lists_url=f"{address}/v1/get_id_lists",
        init_timeout_ms=INIT_TIMEOUT_MS,
        disable_all_logging=True,
        disable_country_lookup=True,
        output_log_level="none",
    )
    sdk = Statsig("secret-conformance", options)
    sdk.initialize().wait()
    return sdk


def ask(sdk: Any, user: Any, gate: str, calls: int) -> dict[str, object]:
    """Ask for `gate` `calls` times: the answers with their counts, the quickest call, and what was raised."""
    answers: Counter[bool] = Counter()
    reasons: set[str] = set()
    quickest = float("inf")
    raised = None
    for _ in range(calls):
        began = time.perf_counter()
        try:
            answer = sdk.get_feature_gate(user, gate)
        except BaseException as error:  # a panic is no Exception
            raised = type(error).__name__
            break
        quickest = min(quickest, time.perf_counter() - began)
        answers[answer.value] += 1
        reasons.add(answer.details.reason)
    return {
        "gate": gate,
        "trues": answers[True],
        "falses": answers[False],
        "reasons": sorted(reasons),
        "quickest_seconds": None if raised else quickest,
        "raised": raised,
    }


def main() -> int:
    """Do what standard input asks for; the exit code is 1 if the SDK refused the rule set."""
    from statsig_python_core import StatsigUser

    task = json.load(sys.stdin)
    sdk = start_sdk(serve(task["payload"]))
    user = StatsigUser(**task["user"])
    if not sdk.get_feature_gate(user, CONTROL_GATE).value:
        return 1
    print(LOADED, flush=True)
    print(json.dumps([ask(sdk, user, gate, task["calls"]) for gate in task["gates"]]), flush=True)
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    # The SDK reports its own errors to a fixed host: give it a way that leads nowhere.
    os.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"
    os._exit(main())  # a shutdown after a panic could wait for ever
