"""What a configuration for production no longer names is out after a reload, and nobody else notices."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509

from sluiceway.messaging.connection import Connection, connected
from sluiceway.settings import BrokerSettings
from tests.support.broker_forms import PERSON, Production, loopback_hosts, production, write_config
from tests.support.waiting import eventually


async def test_a_user_and_a_region_that_are_not_named_any_more_are_thrown_out(tmp_path: Path) -> None:
    hosts = loopback_hosts()
    await write_config(tmp_path, f"--cluster={hosts[0]}")
    with production(tmp_path, hosts) as running:
        async with (
            user(running, PERSON) as person,
            user(running, "edge-dev") as edge,
            user(running, "scheduler") as scheduler,
            user(running, "edge-prod-eu") as other,
        ):
            fewer = ("--region=prod-eu", "--alert-source", "pager")
            await write_config(tmp_path, f"--cluster={hosts[0]}", names=fewer)
            reload(running)

            await eventually(lambda: not person.client.is_connected, "the person is out")
            await eventually(lambda: not edge.client.is_connected, "the region is out")
            for kept in (scheduler, other):
                assert await kept.is_alive()
                assert kept.client.stats["reconnects"] == 0
        log = running.brokers[0].log.read_text()
    assert "Reloaded server configuration" in log


async def test_a_certificate_that_was_renewed_is_shown_after_a_reload(tmp_path: Path) -> None:
    hosts = loopback_hosts()
    await write_config(tmp_path, f"--cluster={hosts[0]}")
    with production(tmp_path, hosts) as running:
        async with user(running, "scheduler") as connection:
            ports = [("127.0.0.1", int(running.brokers[0].url.rpartition(":")[2])), (hosts[0], 7422)]
            before = [await shown(running, *port) for port in ports]
            await write_config(tmp_path, f"--cluster={hosts[0]}", "--host", "new.example.com")
            reload(running)

            async def is_shown() -> bool:
                return not {*before} & {await shown(running, *port) for port in ports}

            await eventually(is_shown, "clients and leaf nodes are shown the new one")
            assert connection.client.stats["reconnects"] == 0


def reload(running: Production) -> None:
    for broker in running.brokers:
        assert broker.pid
        os.kill(broker.pid, signal.SIGHUP)


@asynccontextmanager
async def user(running: Production, name: str) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(**running.settings(name)), "tests") as connection:
        yield connection


async def shown(running: Production, host: str, port: int) -> int:
    """Return the certificate that a listener shows."""
    context = ssl.create_default_context(cafile=running.secrets / "ca.pem")
    reader, writer = await asyncio.open_connection(host, port)
    await reader.readline()
    await writer.start_tls(context, server_hostname="localhost")
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(certificate).serial_number
