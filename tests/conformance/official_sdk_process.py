"""A process that serves one payload to the real SDK and prints its answers.

It reads a JSON object from standard input: `payload`, `user`, `gates`, and `calls` (how often each gate is
checked). It prints `LOADED` when the SDK has the payload, then one line of JSON. It is a process of its own
because the checks may crash it.
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

#: Printed when the payload was accepted: whatever happens afterwards, an evaluation caused.
LOADED = "loaded"
#: A gate in every payload that everyone passes; its answer shows that the payload is in use.
CONTROL_GATE = "control"
#: The usual 8 MiB: limits a runaway recursion, whatever the machine allows.
STACK_BYTES = 8 * 1024 * 1024
INIT_TIMEOUT_MS = 3000


def serve(payload: object) -> str:
    """Serve `payload` to every GET on a free local port, and return the address."""
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
            """Log nothing: standard error is for the SDK."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def start_sdk(address: str) -> Any:
    """Return an initialized SDK that contacts no other host than `address`."""
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
    """Check a gate `calls` times; return the counts of answers, the fastest call, and what was raised."""
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
    """Run the task from standard input; the exit code is 1 if the SDK refused the payload."""
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
    # The SDK reports its own errors to a fixed host: send them to a proxy that does not exist.
    os.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"
    os._exit(main())  # a shutdown after a panic could block forever
