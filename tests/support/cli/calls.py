"""Calls of the command line, each in its own process, so that exit codes and output are real."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "deploy" / "examples"
FORKED_CALL = Path(__file__).with_name("forked_call.py")
BOUND_SECONDS = 30.0


@dataclass(frozen=True)
class Call:
    """The result of a call."""

    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        """The output, which must be one JSON document."""
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The only line on stderr, after a refusal."""
        assert self.error.count("\n") == 1, self.error
        return self.error.removeprefix("sluiceway: ").rstrip()


def _restore_ctrl_c() -> None:
    """Let Ctrl-C interrupt the call, even if the tests run in the background of a shell that ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Cli:
    """The command `sluiceway`, in an environment that names broker and actor."""

    def __init__(self, nats_url: str, **environment: str) -> None:
        self._environment = {"SLUICEWAY_NATS_URL": nats_url, "SLUICEWAY_ACTOR": "ada", **environment}

    async def __call__(self, *arguments: str, stdin: str = "") -> Call:
        """Run a call and return its result, whatever the exit code is."""
        async with self.running(*arguments) as process, asyncio.timeout(BOUND_SECONDS):
            out, error = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Call(process.returncode, out.decode(), error.decode())

    async def succeeds(self, *arguments: str, stdin: str = "") -> Call:
        call = await self(*arguments, stdin=stdin)
        assert call.code == 0, call
        assert not call.error, call
        return call

    async def refused(self, *arguments: str, stdin: str = "") -> Call:
        call = await self(*arguments, stdin=stdin)
        assert call.code == 1, call
        return call

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Start a call, and stop it when the block ends."""
        process = await asyncio.create_subprocess_exec(
            *forked_program(self._environment),
            *arguments,
            cwd=ROOT,
            env=_environment(self._environment),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_restore_ctrl_c,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    others = {key: value for key, value in os.environ.items() if not key.startswith("SLUICEWAY_")}
    return {**others, "COLUMNS": "200", **ours}


def forked_program(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command that forks a call from an interpreter that was started with this environment."""
    if not hasattr(os, "pidfd_open"):
        return sys.executable, "-m", "sluiceway.cli.main"
    settings = {key: text for key, text in environment.items() if key.startswith(("PYTHON", "LC_", "LANG"))}
    return sys.executable, "-IS", str(FORKED_CALL), _fork_server(tuple(settings.items()))


@cache
def _fork_server(settings: tuple[tuple[str, str], ...]) -> str:
    """Start the server that forks calls of an interpreter with these settings, and return its address.

    It ends with this process.
    """
    address = str(Path(tempfile.mkdtemp(prefix="sluiceway-cli-")) / "socket")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.cli.fork_server", address],
        cwd=ROOT,
        env={**os.environ, **dict(settings)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout
    assert server.stdout.readline() == b"listening\n"
    _servers.append(server)
    return address


#: A server that is collected would lose its standard input, and end.
_servers: list[subprocess.Popen[bytes]] = []
