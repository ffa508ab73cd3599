"""A broker with passwords that a URL cannot hold as they are, and one with TLS of its own authority."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from services.local.broker import EmbeddedBroker
from services.local.system import Options, running_system
from services.local.up import CATALOGUE, apply_to
from services.monitor.app import build_clearance_broker
from services.monitor.settings import Settings as MonitorSettings
from sluiceway.client import Client
from sluiceway.contracts.measurements import Clearance
from sluiceway.messaging.connection import connected
from tests.support.catalogues import REGIONS
from tests.support.certificates import Authority
from tests.support.cli.calls import Cli

PASSWORD = "p@ss/w:rd%,#é?"
USER = "user@example.com"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    user = json.dumps({"user": USER, "password": PASSWORD}, ensure_ascii=False)
    with _broker(tmp_path, f"authorization: {{users: [{user}]}}") as broker:
        yield broker


async def test_every_process_connects_with_an_encoded_password_and_none_shows_it(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    url, printed = _url(broker, PASSWORD), list[str]()

    one_edge = {f"edge-{name}": int(name == "prod-eu") for name in REGIONS}
    options = Options(tmp_path / "data", nats_url=url, scale=one_edge, print_line=printed.append)
    async with running_system(options) as system:
        await apply_to(url, CATALOGUE)
        await system.edges_started()
        await system.ready()
        call = await Cli(url).succeeds("get", "regions", "--json")
        client = Client("prod-eu", url=url).start()
        assert client.wait_until_ready()
        client.close()

    assert "prod-eu" in call.out
    written = [
        file.read_text() for file in (tmp_path / "data").rglob("*") if file.suffix in (".log", ".json")
    ]
    assert len(written) > 5
    for text in (*written, *printed):
        assert quote(PASSWORD, safe="") not in text
        assert PASSWORD not in text
    assert json.loads((tmp_path / "data" / "system.json").read_text())["nats_url"].startswith("nats://***@")


async def test_a_wrong_password_is_not_shown(broker: EmbeddedBroker) -> None:
    wrong = Cli(f"{_url(broker, 's3cr3t')},{_url(broker, 's3cr3t')}")
    unreadable = Cli(f"nats://{USER}:s3cr3t/x@host")

    refused, invalid = await wrong("get", "regions"), await unreadable("get", "regions", "--json")

    assert (refused.code, invalid.code) == (1, 1)
    assert "nats://***@127.0.0.1" in refused.line
    assert "invalid setting SLUICEWAY_NATS_URL: cannot read 'nats://***@host'" in invalid.error
    assert "s3cr3t" not in f"{refused}{invalid}"


async def test_help_shows_no_password(broker: EmbeddedBroker) -> None:
    cli = Cli(_url(broker, "s3cr3t"), SLUICEWAY_PROMETHEUS_URL="http://user:s3cr3t@host:9090")

    for arguments in (["--help"], ["get", "regions", "--help"], ["guardrails", "try", "--help"]):
        assert "s3cr3t" not in (await cli.succeeds(*arguments)).out


async def test_both_drivers_trust_the_authority_of_the_settings(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("broker")
    tls = f'tls {{cert_file: "{certificate}", key_file: "{key}"}}'
    with _broker(tmp_path, f"{tls}\nauthorization: {{token: 'to/ken'}}") as broker:
        url = broker.url.replace("nats://", "tls://to%2Fken@")
        settings = MonitorSettings(nats_url=url, nats_ca=authority.file)

        async with connected(settings, "tests", wait_for_broker=False) as connection:
            assert await connection.is_alive()
        faststream = build_clearance_broker(settings, _unused)
        await faststream.start()
        assert await faststream.ping(timeout=5)
        await faststream.stop()


@contextmanager
def _broker(folder: Path, config: str) -> Iterator[EmbeddedBroker]:
    (folder / "broker.conf").write_text(f'jetstream {{store_dir: "{folder / "streams"}"}}\n{config}\n')
    with EmbeddedBroker(folder / "broker", config=folder / "broker.conf") as broker:
        yield broker


def _url(broker: EmbeddedBroker, password: str) -> str:
    return broker.url.replace("nats://", f"nats://{quote(USER, safe='')}:{quote(password, safe='')}@")


async def _unused(request: object) -> Clearance:
    raise AssertionError("nobody asks")
