"""`python -m tests.chaos`: run a cluster under load and faults, and check what happened.

A run can be repeated with its seed, which decides the load and the faults and their order; when they happen
also depends on how fast everything is. `--check FOLDER` checks the history of an earlier run again.
"""

import argparse
import asyncio
import logging
import random
import shutil
import signal
import sys
from pathlib import Path

from .checker import check
from .cluster import BROKERS, STORES
from .disks import unmount
from .fault_kinds import KINDS
from .history import History
from .hosts import missing_requirements, network
from .report import markdown, summary
from .run import Options, run

RUNS = Path(__file__).parents[2] / "data" / "chaos"
EXIT_FINDINGS = 1
EXIT_INTERRUPTED = 130


def main() -> int:
    """Return the exit code: 0 without findings, and where no cluster can be run."""
    given = _arguments()
    if given.check and given.markdown:
        print("\n".join(markdown(History.read(given.check))))
        return 0
    if given.check:
        return _report(given.check)
    if missing := missing_requirements():
        print(f"skipped: a cluster on hosts of its own needs {', '.join(missing)}")
        return 0
    folder = RUNS / str(given.seed)
    unmount(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(
        f"seed {given.seed}, {given.seconds:g} s, {given.people} people; everything is in {folder}",
        flush=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    logging.basicConfig(filename=folder / "chaos.log", format="%(asctime)s %(name)s: %(message)s")
    options = Options(given.seconds, given.seed, given.people, tuple(given.faults or KINDS))
    try:
        with network(BROKERS) as hosts:
            asyncio.run(run(folder, hosts, options)).write(folder)
    except KeyboardInterrupt:
        print("interrupted: everything is stopped and removed, except the logs")
        return EXIT_INTERRUPTED
    code = _report(folder)
    if code == 0:  # otherwise somebody may want to look into them
        shutil.rmtree(folder / STORES)
    return code


def _report(folder: Path) -> int:
    history = History.read(folder)
    findings = check(history)
    text = "\n".join(summary(history, findings))
    (folder / "report.txt").write_text(f"{text}\n")
    print(text)
    return EXIT_FINDINGS if findings else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="of load and faults (default: 300)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--people", type=int, default=6, help="who release at the same time, at the end")
    parser.add_argument(
        "--fault", action="append", dest="faults", choices=tuple(KINDS), help="only this kind"
    )
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="check an earlier run again")
    parser.add_argument(
        "--markdown", action="store_true", help="with --check: print the table of docs/faults.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
