"""Brokers with the configurations for production that `sluiceway broker-config` writes, on loopback."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.local.broker import EmbeddedBroker

from .catalogues import REGIONS
from .cli.calls import Call, Cli

NOWHERE = "nats://127.0.0.1:1"
PERSON = "3f9a11c2"
PAGER = "pager"
NAMES = (*(f"--region={name}" for name in REGIONS), "--key", PERSON, "--alert-source", PAGER)


@dataclass(frozen=True)
class HostBroker:
    """A broker on one host, with TLS and nkeys."""

    broker: EmbeddedBroker
    secrets: Path

    def settings(self, user: str) -> dict[str, Any]:
        """Return the settings with which a user connects."""
        return {
            "nats_url": self.broker.url,
            "nats_ca": self.secrets / "ca.pem",
            "nats_nkey": self.secrets / f"{user}.nk",
        }


async def written_config(folder: Path, *options: str, names: Sequence[str] = NAMES) -> Call:
    """Write `broker.conf` and the secrets of a broker for production into a folder."""
    call = await Cli(NOWHERE)(
        "broker-config", *names, "--tls", "--secrets", str(folder / "secrets"), *options
    )
    assert call.code == 0, call
    (folder / "broker.conf").write_text(call.out)
    return call


def broker_environment(folder: Path, host: str = "") -> dict[str, str]:
    """Return the environment of nats-server for what `written_config` wrote.

    Listeners without a flag of nats-server's get a loopback address that nothing else uses.
    """
    secrets = folder / "secrets"
    return {
        "LISTEN_HOST": host or free_loopback(),
        "STORE_DIR": str(folder / "streams"),
        "MAX_FILE_STORE": "4GB",
        "TLS_CERT": str(secrets / "server.pem"),
        "TLS_KEY": str(secrets / "server-key.pem"),
        "TLS_CA": str(secrets / "ca.pem"),
    }


def free_loopback() -> str:
    """Return an address of this host that is probably used by nobody else."""
    return ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))])


@contextmanager
def host_broker(folder: Path) -> Iterator[HostBroker]:
    """Run a broker with what `written_config` wrote."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in broker_environment(folder).items():
            environment.setenv(name, value)
        with EmbeddedBroker(folder / "broker", config=folder / "broker.conf") as broker:
            yield HostBroker(broker, folder / "secrets")
