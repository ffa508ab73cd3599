"""Let atheris look for inputs that do harm: `python -m tests.fuzz --seconds 60 [TARGET …]`.

Each target runs in a process of its own. An input that does harm is written to a file, which the output
names; `python -m tests.fuzz TARGET --input FILE` runs it again.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from .targets import TARGETS, FuzzTarget

#: For the start of a target, which atheris slows down.
START_SECONDS = 120


def main() -> int:
    """Return the exit code: 0 if no input did harm."""
    by_name = {target.name: target for target in TARGETS}
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(by_name)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together (default: 60)")
    parser.add_argument("--input", type=Path, help="run the targets with this file only")
    given = parser.parse_args()
    if unknown := sorted(set(given.targets) - by_name.keys()):
        parser.error(f"unknown target {', '.join(unknown)}: use {', '.join(by_name)}")
    chosen = [by_name[name] for name in given.targets or by_name]
    if given.input:
        return max(_run(target, given.input.read_bytes()) for target in chosen)
    return max(_fuzz(target, given.seconds // len(chosen)) for target in chosen)


def _run(target: FuzzTarget, data: bytes) -> int:
    with tempfile.TemporaryDirectory(prefix="sluiceway-fuzz-") as folder, target.build(Path(folder)) as run:
        run(data)
    return 0


def _fuzz(target: FuzzTarget, seconds: int) -> int:
    print(f"== {target.name}: {seconds} s", flush=True)
    with tempfile.TemporaryDirectory(prefix="sluiceway-fuzz-") as folder:
        command = [sys.executable, "-m", "tests.fuzz.worker", target.name, str(seconds), folder]
        return subprocess.run(command, check=False, timeout=seconds + START_SECONDS).returncode


if __name__ == "__main__":
    sys.exit(main())
