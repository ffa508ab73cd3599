"""A broker that knows its users by JWTs: a process connects with a `.creds` file, however it was written."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nkeys
import pytest

from services.local.broker import EmbeddedBroker
from services.monitor.app import build_clearance_broker
from services.monitor.settings import Settings as MonitorSettings
from sluiceway.contracts.measurements import Clearance
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings


class Authority:
    """An operator, one account, and the credentials of its users."""

    def __init__(self) -> None:
        self._operator, self._account = (
            _new(prefix) for prefix in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT)
        )

    def config(self) -> str:
        """Return the configuration of a server that trusts this operator."""
        account = self._account.public_key.decode()
        operator_jwt = _jwt(self._operator, self._operator, {"type": "operator"})
        account_jwt = _jwt(self._operator, self._account, {"type": "account", "limits": LIMITS})
        return (
            f"operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload: {{ {account}: {account_jwt} }}\n"
        )

    def credentials(self) -> str:
        """Return the content of the `.creds` file of a new user."""
        user = _new(nkeys.PREFIX_BYTE_USER)
        jwt = _jwt(self._account, user, {"type": "user", "subs": -1, "data": -1, "payload": -1})
        return (
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )


LIMITS = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "imports": -1, "exports": -1, "wildcards": True}


def _new(prefix: int) -> Any:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), prefix)))


def _jwt(issuer: Any, subject: Any, claims: dict[str, Any]) -> str:
    """Return a JWT as `nsc` makes it."""
    content = {
        "iat": 0,
        "iss": issuer.public_key.decode(),
        "sub": subject.public_key.decode(),
        "nats": {"version": 2, **claims},
    }
    content["jti"] = (
        base64.b32encode(hashlib.sha256(json.dumps(content).encode()).digest()).decode().strip("=")
    )
    head = _base64(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    body = f"{head}.{_base64(json.dumps(content).encode())}"
    return f"{body}.{_base64(issuer.sign(body.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def broker_url(authority: Authority, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "broker.conf").write_text(authority.config())
    with EmbeddedBroker(tmp_path, config=tmp_path / "broker.conf") as broker:
        yield broker.url


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "  \n"])
async def test_credentials_work_however_their_lines_end(
    broker_url: str, authority: Authority, tmp_path: Path, line_end: str
) -> None:
    file = tmp_path / "user.creds"
    file.write_bytes(authority.credentials().replace("\n", line_end).encode())
    settings = MonitorSettings(nats_url=broker_url, nats_creds=file)

    async with connected(settings, "tests", wait_for_broker=False) as connection:
        assert await connection.is_alive()
    broker = build_clearance_broker(settings, _unused)
    await broker.start()
    assert await broker.ping(timeout=5)
    await broker.stop()


async def test_a_user_of_another_authority_is_refused(broker_url: str, tmp_path: Path) -> None:
    file = tmp_path / "user.creds"
    file.write_text(Authority().credentials())

    with pytest.raises(Unavailable, match="Authorization Violation"):
        async with connected(
            BrokerSettings(nats_url=broker_url, nats_creds=file), "tests", wait_for_broker=False
        ):
            pass


async def _unused(request: object) -> Clearance:
    raise AssertionError("nobody asks")
