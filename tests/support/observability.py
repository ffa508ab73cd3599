"""A real Prometheus and a real Alertmanager as child processes, fast enough for a test.

Debian's packages (`apt-get install prometheus prometheus-alertmanager`) have both binaries.
"""

import json
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.local.broker import die_with_parent

from .http import http_client
from .waiting import eventually

HOST = "127.0.0.1"
BINARIES = ("prometheus", "prometheus-alertmanager")
#: Below the ephemeral ports of Linux: a connection could take one before its process listens.
PORTS = range(20_000, 32_000)
SCRAPE_EVERY = "1s"
#: Prometheus discovers its targets and Alertmanagers only every 5 s.
READY_SECONDS = 30.0


def skip_without_binaries() -> None:
    """Skip the module that calls this during its import if one of them is not installed."""
    if not all(map(shutil.which, BINARIES)):
        reason = f"prometheus is not installed: apt-get install {' '.join(BINARIES)}"
        pytest.skip(reason, allow_module_level=True)


def free_port() -> int:
    """Return a port that is free now, and that no outgoing connection takes."""
    for port in random.sample(PORTS, len(PORTS)):
        with suppress(OSError), socket.create_server((HOST, port)):
            return port
    raise AssertionError(f"no port of {PORTS} is free")


class Child:
    """A process with a port and a folder, which it keeps when it is killed and started again."""

    def __init__(self, binary: str, folder: Path, port: int, *arguments: str) -> None:
        self.url = f"http://{HOST}:{port}"
        self._argv = (binary, *arguments, f"--web.listen-address={HOST}:{port}")
        self._log = folder / f"{binary}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def kill(self) -> None:
        """Kill the process, as `kill -9` does."""
        if self._process:
            self._process.kill()
            self._process.wait()


class Prometheus(Child):
    """A Prometheus process, and a client of it."""

    async def ready(self) -> None:
        """Return once every target was scraped, and an Alertmanager was discovered."""
        await eventually(self._is_ready, f"Prometheus is ready; its log: {self._log}", READY_SECONDS)

    async def value(self, query: str) -> float | None:
        """Return the value of a query's first series; None without one."""
        found = await self._get("query", query=query)
        return float(found["result"][0]["value"][1]) if found and found["result"] else None

    async def _is_ready(self) -> bool:
        targets, alertmanagers = await self._get("targets"), await self._get("alertmanagers")
        if not (targets and alertmanagers):
            return False
        healths = [target["health"] for target in targets["activeTargets"]]
        return set(healths) == {"up"} and bool(alertmanagers["activeAlertmanagers"])

    async def _get(self, page: str, **parameters: str) -> dict[str, Any] | None:
        try:
            async with http_client(trust_env=False) as http:
                answer = await http.get(f"{self.url}/api/v1/{page}", params=parameters)
        except httpx2.HTTPError:
            return None
        found: dict[str, Any] | None = answer.json().get("data") if answer.is_success else None
        return found


@contextmanager
def prometheus(
    folder: Path, *, target_port: int, alertmanager_port: int, rules: list[dict[str, Any]]
) -> Iterator[Prometheus]:
    """Run a Prometheus while the block does. It has scraped nothing before it is `ready`."""
    _write(
        folder / "prometheus.yml",
        {
            "global": {"scrape_interval": SCRAPE_EVERY, "evaluation_interval": SCRAPE_EVERY},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [_static(alertmanager_port)]},
            "scrape_configs": [{"job_name": "traffic", **_static(target_port)}],
        },
    )
    _write(folder / "rules.yml", {"groups": [{"name": "guard", "rules": rules}]})
    child = Prometheus(
        "prometheus",
        folder,
        free_port(),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        "--rules.alert.resend-delay=5s",
    )
    with _running(child):
        yield child


@contextmanager
def alertmanager(folder: Path, *, port: int, webhook: str, token: str) -> Iterator[Child]:
    """Run an Alertmanager while the block does; it sends each alert on its own, without delay."""
    receiver = {"url": webhook, "http_config": {"authorization": {"credentials": token}}}
    timing = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
    _write(
        folder / "alertmanager.yml",
        {
            "route": {"receiver": "sluiceway", "group_by": ["..."], **timing},
            "receivers": [{"name": "sluiceway", "webhook_configs": [receiver]}],
        },
    )
    child = Child(
        "prometheus-alertmanager",
        folder,
        port,
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        "--cluster.listen-address=",  # with a cluster, the first notification waits for 10 s
    )
    with _running(child):
        yield child


@contextmanager
def _running(child: Child) -> Iterator[None]:
    child.start()
    try:
        yield
    finally:
        child.kill()


def _static(port: int) -> dict[str, Any]:
    return {"static_configs": [{"targets": [f"{HOST}:{port}"]}]}


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write YAML; JSON is a subset of it."""
    path.write_text(json.dumps(content, indent=2))
