"""A broker that lets anybody connect is refused, unless it is on this host or the settings permit it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.local.broker import EmbeddedBroker
from services.monitor.app import Monitor
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.settings import Settings as SchedulerSettings
from sluiceway.errors import Misconfigured
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings, read_settings
from sluiceway.tasks import cancel_and_wait
from tests.support.certificates import Authority
from tests.support.listeners import listening
from tests.support.nats_drivers import Driver, both_drivers, trying
from tests.support.waiting import eventually

#: Reaches this host, and is not its loopback address: what it stands for is not known from the URL.
ELSEWHERE = "0.0.0.0"
USERS = "authorization {users: [{user: a, password: b}]}"
NO_AUTH_USER = "accounts {A {users: [{user: a, password: b}]}}\nno_auth_user: a"


@both_drivers
async def test_an_anonymous_broker_of_another_host_is_sent_nothing(driver: Driver) -> None:
    async with listening(auth_required=False) as listener:
        url = f"nats://a:s3cr3t@{ELSEWHERE}:{listener.port}"
        async with trying(driver, MonitorSettings(nats_url=url)):
            await eventually(lambda: listener.connections >= 6, "it has tried many times")

            assert listener.open_connections <= 2
        assert listener.received == b""


@both_drivers
async def test_if_identity_is_required_an_anonymous_broker_of_this_host_is_sent_nothing_either(
    driver: Driver,
) -> None:
    async with listening(auth_required=False, tls_verify=True) as listener:
        settings = MonitorSettings(
            nats_url=f"nats://{listener.address}",
            require_identity=True,
            allow_anonymous_broker=True,
        )
        async with trying(driver, settings):
            await eventually(lambda: listener.connections >= 2, "it has tried again")

        assert listener.received == b""


@both_drivers
async def test_a_broker_that_lets_anybody_connect_after_a_restart_is_left_until_it_does_not(
    driver: Driver, tmp_path: Path
) -> None:
    with _broker(tmp_path, USERS) as broker:
        url = broker.url.replace("nats://", "nats://a:b@")
        settings = MonitorSettings(nats_url=url, require_identity=True)
        async with driver(settings) as client:
            broker.stop()
            async with listening(int(broker.url.rpartition(":")[2]), auth_required=False) as listener:
                await eventually(lambda: listener.connections >= 2, "it has found the other broker")
            await asyncio.to_thread(broker.start)
            await eventually(lambda: client.is_connected, "it is connected again")

        assert listener.received == b""


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ("", {"allow_anonymous_broker": True}),
        (USERS, {"require_identity": True, "user": "a:b@"}),
        (USERS, {"user": "a:b@"}),
    ],
    ids=["permitted", "identity required", "another host"],
)
async def test_a_broker_that_is_meant_is_connected_to(
    config: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    with _broker(tmp_path, config) as broker:
        url = _elsewhere(broker, settings.pop("user", ""))
        async with connected(
            BrokerSettings(nats_url=url, **settings),
            "tests",
            wait_for_broker=False,
        ) as connection:
            assert await connection.is_alive()


async def test_a_broker_that_asks_for_a_certificate_lets_not_anybody_connect(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("broker", address=ELSEWHERE)
    own_certificate, own_key = authority.issue("client")
    tls = f'cert_file: "{certificate}", key_file: "{key}", ca_file: "{authority.file}", verify: true'
    with _broker(tmp_path, f"tls {{{tls}}}") as broker:
        settings = BrokerSettings(
            nats_url=_elsewhere(broker),
            nats_ca=authority.file,
            nats_cert=own_certificate,
            nats_key=own_key,
        )
        async with connected(settings, "tests", wait_for_broker=False) as connection:
            assert await connection.is_alive()


@pytest.mark.parametrize("config", ["", NO_AUTH_USER], ids=["open", "no_auth_user"])
async def test_the_reason_says_what_to_do(config: str, tmp_path: Path) -> None:
    with _broker(tmp_path, config) as broker:
        port = broker.url.rpartition(":")[2]
        elsewhere, here = await asyncio.gather(
            _refused(BrokerSettings(nats_url=_elsewhere(broker, "a:b@"))),
            _refused(BrokerSettings(nats_url=broker.url, require_identity=True)),
        )

    assert elsewhere == (
        f"the broker at 0.0.0.0:{port} is on another host and lets anybody connect: give it users, as "
        "`sluiceway broker-config` writes them, without no_auth_user; or set "
        "SLUICEWAY_ALLOW_ANONYMOUS_BROKER=true if nobody else can reach it"
    )
    assert here == (
        f"the broker at 127.0.0.1:{port} asks nobody who they are, but SLUICEWAY_REQUIRE_IDENTITY is true: "
        "give it users, as `sluiceway broker-config` writes them, without no_auth_user; or unset the setting"
    )


async def test_readiness_names_the_broker_that_is_refused() -> None:
    async with listening(auth_required=False) as listener:
        monitor = Monitor(MonitorSettings(nats_url=f"nats://{ELSEWHERE}:{listener.port}"))
        starting = asyncio.create_task(monitor.__aenter__())
        try:
            await eventually(lambda: "lets anybody connect" in monitor.missing["nats"], "it says why")
        finally:
            await cancel_and_wait(starting)

        assert "lets anybody connect" in (await monitor.readiness())["nats"]


def test_the_settings_are_those_of_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICEWAY_REQUIRE_IDENTITY", "true")
    monkeypatch.setenv("SLUICEWAY_ALLOW_ANONYMOUS_BROKER", "true")

    read = [read_settings(settings) for settings in (BrokerSettings, MonitorSettings, SchedulerSettings)]

    assert all(settings.require_identity and settings.allow_anonymous_broker for settings in read)


async def _refused(settings: BrokerSettings) -> str:
    """Return the reason why a broker is refused."""
    with pytest.raises(Misconfigured) as error:
        async with connected(settings, "tests", wait_for_broker=False):
            pass
    return str(error.value)


def _broker(folder: Path, config: str) -> EmbeddedBroker:
    (folder / "broker.conf").write_text(f"{config}\n")
    return EmbeddedBroker(folder / "broker", config=folder / "broker.conf")


def _elsewhere(broker: EmbeddedBroker, user: str = "") -> str:
    return f"nats://{user}{ELSEWHERE}:{broker.url.rpartition(':')[2]}"
