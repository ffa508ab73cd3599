"""With the configurations for production nobody gets in without TLS, a seed, or a broker's certificate."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nkeys
import pytest
import pytest_asyncio

from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings
from tests.support.broker_forms import (
    PERSON,
    Production,
    ProductionBroker,
    broker_environment,
    loopback_hosts,
    production,
    write_config,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
REFUSED = "authorization violation"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Production]:
    """A cluster of one broker: it has every listener."""
    folder, hosts = tmp_path_factory.mktemp("production"), loopback_hosts()
    await write_config(folder, f"--cluster={hosts[0]}")
    with production(folder, hosts) as brokers:
        yield brokers


async def refusal(**settings: Any) -> str:
    """Return why these settings do not connect."""
    with pytest.raises(Unavailable) as refused:
        async with connected(BrokerSettings(**settings), "tests", wait_for_broker=False):
            pass
    return str(refused.value).lower()


@pytest.mark.parametrize(
    ("user", "account"),
    [
        ("scheduler", "SLUICEWAY"),
        (PERSON, "PEOPLE"),
        ("pager", "ALERTING"),
        ("edge-dev", "REGION_dev"),
        ("edge-prod-eu", "REGION_prod-eu"),
    ],
)
async def test_a_seed_opens_the_account_of_its_user(running: Production, user: str, account: str) -> None:
    async with connected(BrokerSettings(**running.settings(user)), "tests", wait_for_broker=False):
        (connection,) = (await running.brokers[0].monitored("connz?auth=1"))["connections"]

    assert connection["account"] == account
    assert connection["tls_version"] == "1.3"


async def test_a_seed_that_the_configuration_does_not_name_is_refused(
    running: Production, tmp_path: Path
) -> None:
    seed = tmp_path / "scheduler.nk"
    seed.write_bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))

    assert REFUSED in await refusal(**{**running.settings("scheduler"), "nats_nkey": seed})


@pytest.mark.parametrize(
    "credentials", [{}, {"auth_token": "scheduler"}, {"user": "scheduler", "pass": ""}], ids=str
)
async def test_without_a_seed_nobody_is_let_in(running: Production, credentials: dict[str, str]) -> None:
    context = ssl.create_default_context(cafile=running.secrets / "ca.pem")

    assert await answers(running, credentials, context) == b"-ERR 'Authorization Violation'\r\n"


async def test_without_tls_nothing_is_answered(running: Production) -> None:
    assert await answers(running, {}) not in (b"+OK\r\n", b"PONG\r\n")


async def answers(
    running: Production, credentials: dict[str, str], tls: ssl.SSLContext | None = None
) -> bytes:
    """Return what a broker says to somebody who connects with these credentials, with or without TLS."""
    host, port = running.brokers[0].url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    assert b'"tls_required":true' in await reader.readline()
    if tls:
        await writer.start_tls(tls, server_hostname=host)
    writer.write(f"CONNECT {json.dumps({'verbose': True, **credentials})}\r\nPING\r\n".encode())
    try:
        return await reader.readline()
    finally:
        writer.close()


async def test_an_authority_that_did_not_sign_the_broker_is_not_deceived(
    running: Production, tmp_path: Path
) -> None:
    await write_config(tmp_path)

    other = {**running.settings("scheduler"), "nats_ca": tmp_path / "secrets" / "ca.pem"}
    assert "certificate" in await refusal(**other)


async def test_a_broker_with_the_certificate_of_another_authority_does_not_join_the_cluster(
    running: Production, tmp_path: Path
) -> None:
    (member,) = running.brokers
    (host,) = loopback_hosts()
    await write_config(tmp_path, f"--cluster={member.environment['LISTEN_HOST']}", f"--cluster={host}")
    intruder = ProductionBroker(
        tmp_path / "broker", tmp_path / "broker.conf", broker_environment(tmp_path, host)
    )
    with intruder:
        await eventually(lambda: "TLS route handshake error" in intruder.log.read_text(), "it has tried", 30)
        routes = await member.monitored("routez")

    assert routes["num_routes"] == 0
    assert "TLS route handshake error" in member.log.read_text()
