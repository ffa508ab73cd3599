"""If the settings ask for TLS, nothing is sent without it; and every way to say who connects."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nkeys
import pytest

from services.local.broker import EmbeddedBroker
from services.monitor.settings import Settings as MonitorSettings
from sluiceway.client import Client
from sluiceway.errors import Misconfigured, Unavailable
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings
from tests.support.certificates import Authority
from tests.support.cli.calls import Cli
from tests.support.listeners import Listener, listening
from tests.support.nats_drivers import Driver, both_drivers, nats_py, trying
from tests.support.waiting import eventually

SECRET = "s3cr3t"
USER = "person"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def tls_broker(
    authority: Authority, folder: Path, config: str = "", *, tls: str = "", address: str = "127.0.0.1"
) -> Iterator[EmbeddedBroker]:
    certificate, key = authority.issue("broker", address=address)
    written = f'{config}\ntls {{cert_file: "{certificate}", key_file: "{key}", {tls}}}\n'
    (folder / "broker.conf").write_text(f'jetstream {{store_dir: "{folder / "streams"}"}}\n{written}')
    with EmbeddedBroker(folder / "broker", config=folder / "broker.conf") as broker:
        yield broker


@both_drivers
@pytest.mark.parametrize("asked_by", ["url", "authority", "certificate", "one url of two", "handshake first"])
async def test_a_server_without_tls_is_sent_nothing(
    driver: Driver, asked_by: str, authority: Authority
) -> None:
    async with listening() as listener:
        certificate, key = authority.issue("client")
        settings = {
            "url": MonitorSettings(nats_url=f"tls://{USER}:{SECRET}@{listener.address}"),
            "one url of two": MonitorSettings(
                nats_url=f"nats://{USER}:{SECRET}@{listener.address},tls://{listener.address}"
            ),
            "authority": MonitorSettings(nats_url=_url(listener), nats_ca=authority.file),
            "certificate": MonitorSettings(nats_url=_url(listener), nats_cert=certificate, nats_key=key),
            "handshake first": MonitorSettings(nats_url=_url(listener), nats_tls_first=True),
        }
        async with trying(driver, settings[asked_by]):
            await eventually(lambda: listener.connections >= 2, "it has tried again")

        assert b"CONNECT" not in listener.received
        assert SECRET.encode() not in listener.received


@both_drivers
async def test_a_refused_server_is_not_left_with_open_sockets(driver: Driver, authority: Authority) -> None:
    async with listening() as listener:
        async with trying(driver, MonitorSettings(nats_url=_url(listener), nats_ca=authority.file)):
            await eventually(lambda: listener.connections >= 6, "it has tried many times")

            assert listener.open_connections <= 2
        assert listener.received == b""


@both_drivers
async def test_a_greeting_that_was_changed_on_the_way_gains_nothing(
    driver: Driver, authority: Authority
) -> None:
    async with listening(tls_required=False, tls_available=True, tls_verify=False) as listener:
        async with trying(driver, MonitorSettings(nats_url=_url(listener, "tls"), nats_ca=authority.file)):
            await eventually(lambda: listener.connections >= 2, "it has tried again")

        assert listener.received == b""


@both_drivers
async def test_a_reconnect_is_over_tls_too(driver: Driver, authority: Authority, tmp_path: Path) -> None:
    with tls_broker(authority, tmp_path, _users()) as broker:
        port = int(broker.url.rpartition(":")[2])
        url = broker.url.replace("nats://", f"tls://{USER}:{SECRET}@")
        async with driver(MonitorSettings(nats_url=url, nats_ca=authority.file)) as client:
            await client.flush()
            broker.stop()
            async with listening(port) as listener:
                await client.publish("subject", SECRET.encode())
                await eventually(lambda: listener.connections >= 2, "it has found the other server")
            await asyncio.to_thread(broker.start)
            await eventually(lambda: client.is_connected, "it is connected again")
            await client.flush()

        assert listener.received == b""


@both_drivers
async def test_a_server_that_others_name_is_talked_to_over_tls_only(
    driver: Driver, authority: Authority
) -> None:
    async with (
        listening() as plain,
        listening(tls=authority.server_context(), connect_urls=[plain.address], hangs_up=True) as encrypted,
        trying(driver, MonitorSettings(nats_url=_url(encrypted), nats_ca=authority.file)),
    ):
        await eventually(lambda: plain.connections >= 2, "it has tried the other server")

        assert SECRET.encode() in encrypted.received
        assert plain.received == b""


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_a_certificate_of_another_host_or_authority_is_refused(
    scheme: str, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    for issuer, address in ((authority, "127.0.0.2"), (other, "127.0.0.1")):
        async with listening(tls=issuer.server_context(address=address)) as listener:
            settings = BrokerSettings(nats_url=_url(listener, scheme), nats_ca=authority.file)
            with pytest.raises(Unavailable) as error:
                async with connected(settings, "tests", wait_for_broker=False):
                    pass
        assert listener.received.count(b"CONNECT") == 0
        assert SECRET not in str(error.value)


@pytest.mark.filterwarnings("ignore:parameter 'timeout' of type 'float' is deprecated")  # nats-py gives it
async def test_a_web_socket_is_opened_to_the_host_of_the_certificate_only(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("broker")
    port = _free_port()
    web_socket = f'websocket {{port: {port}, tls {{cert_file: "{certificate}", key_file: "{key}"}}}}'
    with plain_broker(tmp_path, f"{web_socket}\n{_users()}"):
        url = f"wss://{USER}:{SECRET}@127.0.0.1:{port}"
        async with nats_py(MonitorSettings(nats_url=url, nats_ca=authority.file)) as client:
            await client.flush()
        elsewhere = BrokerSettings(nats_url=url.replace("127.0.0.1", "localhost"), nats_ca=authority.file)
        with pytest.raises(Unavailable, match="certificate"):
            async with connected(elsewhere, "tests", wait_for_broker=False):
                pass


@both_drivers
async def test_a_certificate_of_the_client_is_shown(
    driver: Driver, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("client")
    verify = f'ca_file: "{authority.file}", verify: true, handshake_first: true'
    with tls_broker(authority, tmp_path, tls=verify) as broker:
        without = MonitorSettings(nats_url=broker.url, nats_ca=authority.file, nats_tls_first=True)
        with_one = without.model_copy(update={"nats_cert": certificate, "nats_key": key})

        async with driver(with_one) as client:
            await client.flush()
        with pytest.raises(Unavailable):
            async with connected(without, "tests", wait_for_broker=False):
                pass


@both_drivers
async def test_the_seed_of_an_nkey_says_who_connects(driver: Driver, tmp_path: Path) -> None:
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (tmp_path / "user.nk").write_bytes(seed + b"\r\n")
    with plain_broker(tmp_path, f"authorization {{users: [{{nkey: {public}}}]}}") as broker:
        async with driver(MonitorSettings(nats_url=broker.url, nats_nkey=tmp_path / "user.nk")) as client:
            await client.flush()
        with pytest.raises(Unavailable, match="Authorization Violation"):
            async with connected(BrokerSettings(nats_url=broker.url), "tests", wait_for_broker=False):
                pass


@both_drivers
async def test_a_password_is_read_from_its_file_at_each_connection(driver: Driver, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    with plain_broker(tmp_path, _users("old")) as broker:
        settings = MonitorSettings(nats_url=broker.url, nats_user=USER, nats_password_file=file)
        async with driver(settings) as client:
            broker.stop()
            file.write_text("new")
            config = tmp_path / "broker.conf"
            config.write_text(config.read_text().replace("old", "new"))
            await asyncio.to_thread(broker.start)

            await eventually(lambda: client.is_connected, "it is connected with the new password")
            await client.flush()


async def test_the_command_line_and_the_client_use_the_same_settings(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text(SECRET)
    certificate, key = authority.issue("client")
    settings = {
        "nats-ca": authority.file,
        "nats-cert": certificate,
        "nats-key": key,
        "nats-user": USER,
        "nats-password-file": tmp_path / "password",
    }
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    for name, value in settings.items():
        monkeypatch.setenv(f"SLUICEWAY_{name.replace('-', '_').upper()}", str(value))
    context = authority.server_context(asks_clients=True)
    async with listening(tls=context) as cli_server, listening(tls=context) as client_server:
        client = Client("dev", url=f"nats://{client_server.address}").start()
        async with Cli(f"nats://{cli_server.address}").running(*options, "get", "regions"):
            await eventually(lambda: SECRET.encode() in cli_server.received, "it has signed in")
            await eventually(lambda: SECRET.encode() in client_server.received, "it has signed in")
        await asyncio.to_thread(client.close)


@pytest.mark.parametrize(
    ("setting", "content"),
    [
        ("nats_nkey", SECRET),
        ("nats_nkey", f"SU{SECRET}"),
        ("nats_nkey", ""),
        ("nats_password_file", f"{SECRET}\n{SECRET}"),
        ("nats_password_file", ""),
        ("nats_ca", SECRET),
        ("nats_cert", SECRET),
        ("nats_creds", SECRET),
    ],
)
async def test_an_invalid_file_is_named_and_not_shown(setting: str, content: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(content)
    others = {"nats_user": USER} if setting == "nats_password_file" else {}
    for file in (tmp_path / "file", tmp_path / "none"):
        settings = BrokerSettings(**{setting: file, **others})  # type: ignore[arg-type]

        with pytest.raises(Misconfigured) as error:
            async with connected(settings, "tests", wait_for_broker=False):
                pass

        assert f"invalid setting SLUICEWAY_{setting.upper()}: file {file}" in str(error.value)
        assert SECRET not in str(error.value)


@pytest.mark.parametrize("is_folder", [False, True], ids=["missing", "folder"])
@pytest.mark.parametrize(
    "setting", ["nats_ca", "nats_cert", "nats_key", "nats_creds", "nats_nkey", "nats_password_file"]
)
async def test_each_file_that_cannot_be_read_is_named_with_its_setting(
    setting: str, is_folder: bool, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.issue("client")
    file = tmp_path / "file"
    if is_folder:
        file.mkdir()
    others: dict[str, dict[str, Path | str]] = {
        "nats_cert": {"nats_key": key},
        "nats_key": {"nats_cert": certificate},
        "nats_password_file": {"nats_user": USER},
    }
    settings = BrokerSettings(**{setting: file, **others.get(setting, {})})  # type: ignore[arg-type]

    with pytest.raises(Misconfigured) as error:
        async with connected(settings, "tests", wait_for_broker=False):
            pass

    assert str(error.value).startswith(
        f"invalid setting SLUICEWAY_{setting.upper()}: file {file} cannot be read: "
    )


async def test_a_key_with_a_password_is_refused_instead_of_asking_for_it(authority: Authority) -> None:
    certificate, key = authority.issue("client", password=b"any")

    with pytest.raises(Misconfigured, match=r"SLUICEWAY_NATS_CERT: .* without a password"):
        async with connected(BrokerSettings(nats_cert=certificate, nats_key=key), "tests"):
            pass


@contextmanager
def plain_broker(folder: Path, config: str) -> Iterator[EmbeddedBroker]:
    (folder / "broker.conf").write_text(config)
    with EmbeddedBroker(folder / "broker", config=folder / "broker.conf") as broker:
        yield broker


def _url(listener: Listener, scheme: str = "nats") -> str:
    return f"{scheme}://{USER}:{SECRET}@{listener.address}"


def _users(password: str = SECRET) -> str:
    return f"authorization {{users: [{{user: {USER}, password: {password}}}]}}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


async def test_a_broker_that_hangs_up_is_no_warning_of_the_library(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tls_broker(authority, tmp_path) as broker:
        settings = BrokerSettings(nats_url=broker.url, nats_ca=authority.file)
        async with connected(settings, "test") as connection:
            broker.stop()
            await eventually(lambda: not connection.client.is_connected, "the connection is lost")

    assert [record.message for record in caplog.records if record.name == "asyncio"] == []
