"""`python -m tests.support.host_clock FILE MODULE`: run a service on a host whose clock is wrong.

FILE holds by how many seconds it is ahead; it may change while the service runs. Monotonic clocks stay right,
as they do on such a host.
"""

import runpy
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    file, module = Path(sys.argv[1]), sys.argv[2]
    time_ns = time.time_ns

    def wrong_time_ns() -> int:
        return time_ns() + int(float(file.read_text()) * 1e9)

    time.time_ns = wrong_time_ns
    time.time = lambda: wrong_time_ns() / 1e9
    runpy.run_module(module, run_name="__main__")
