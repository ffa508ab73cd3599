"""`sluiceway broker-config`: what it writes is what a broker takes, and has no secret in it."""

import stat
import subprocess
from pathlib import Path

import pytest

from services.local.broker import EmbeddedBroker, find_binary
from sluiceway.cli.broker_accounts import broker_accounts
from sluiceway.cli.broker_config import password_variable
from sluiceway.messaging.connection import connected
from sluiceway.messaging.rules_streams import STREAMS_MAX, RulesStreams
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.cli.calls import EXAMPLES, ROOT, Cli
from tests.support.system import driving, services

NOWHERE = "nats://127.0.0.1:1"
EXAMPLE = ("-f", str(EXAMPLES / "catalogue"), "--key", "3f9a11c2", "--alert-source", "pager")


def checked(file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have nats-server check a configuration, with these variables and no passwords but theirs."""
    return subprocess.run(
        [str(find_binary()), "-t", "-c", str(file)],
        env={"STORE_DIR": str(file.parent), **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


async def test_the_example_is_what_it_writes_for_the_example_catalogue() -> None:
    written = await Cli(NOWHERE).succeeds("broker-config", *EXAMPLE)

    assert written.out == (ROOT / "deploy" / "nats" / "secured.conf").read_text()


async def test_nats_server_takes_it_with_a_password_for_each_user() -> None:
    file = ROOT / "deploy" / "nats" / "secured.conf"
    regions = ["dev", "staging", "prod-us-west", "prod-us-east", "prod-eu"]
    accounts = broker_accounts(regions, ["3f9a11c2"], ["pager"])
    variables = [password_variable(user.name) for account in accounts for user in account.users]

    assert checked(file, **dict.fromkeys(variables, "s3cr3t")).returncode == 0
    for missing in variables:
        others = dict.fromkeys((name for name in variables if name != missing), "s3cr3t")
        assert f"'{missing}'" in checked(file, **others).stderr


@pytest.mark.parametrize("count", [2, STREAMS_MAX])
async def test_nats_server_takes_it_with_several_streams_of_rules(tmp_path: Path, count: int) -> None:
    rules, file = RulesStreams(count), tmp_path / "broker.conf"
    regions = [f"region-{number}" for number in range(100)]
    call = ("broker-config", *(f"--region={name}" for name in regions), "--nkeys", str(tmp_path / "nkeys"))

    written = await Cli(NOWHERE).succeeds(*call, "--rules-streams", str(count))

    file.write_text(written.out)
    assert checked(file).returncode == 0
    for name in regions:
        copied = f'{{service: "$JS.API.CONSUMER.CREATE.{rules.of(name)}.*.$KV.RULES.{name}.>"'
        assert copied in written.out
        assert written.out.count(f'.$KV.RULES.{name}.>", accounts') == 1
    for stream in rules.names:
        assert f'"$JS.API.CONSUMER.CREATE.{stream}.>"' in written.out
        assert f'"$JS.API.STREAM.MSG.GET.{stream}"' in written.out


async def test_the_number_of_streams_is_the_running_one_if_the_running_regions_count(broker: Broker) -> None:
    async with services(broker.url, publishers=0, rules_streams=3), driving(broker.url) as driver:
        await apply_catalogue(driver)
        cli = Cli(broker.url)

        running = await cli.succeeds("broker-config")
        given = await cli.succeeds("broker-config", "--rules-streams", "2")
        of_names = await cli.succeeds("broker-config", "--region", "prod-us-west")

    assert RulesStreams(3).of("prod-us-west") == "KV_RULES_2"
    assert "CREATE.KV_RULES_2.*.$KV.RULES.prod-us-west.>" in running.out
    assert "KV_RULES_2" not in given.out
    assert "KV_RULES_1" not in of_names.out


async def test_the_same_names_in_any_order_give_the_same_text() -> None:
    cli = Cli(NOWHERE)
    one = await cli.succeeds("broker-config", "--region", "a", "--region", "b", "--key", "k1", "--key", "k2")
    other = await cli.succeeds(
        "broker-config", "--key", "k2", "--region", "b", "--region", "a", "--key", "k1"
    )

    assert one.out == other.out
    assert "REGION_a {" in one.out


async def test_nkeys_are_kept_in_files_that_their_owner_alone_reads(tmp_path: Path) -> None:
    folder = tmp_path / "nkeys"
    call = ("broker-config", "--region", "dev", "--key", "3f9a11c2", "--nkeys", str(folder))
    first, second = [await Cli(NOWHERE).succeeds(*call) for _ in range(2)]

    seeds = {file: file.read_text() for file in folder.iterdir()}
    assert first.out == second.out
    assert {file.stem for file in seeds} >= {"scheduler", "edge-dev", "3f9a11c2"}
    for file, seed in seeds.items():
        assert stat.S_IMODE(file.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
        assert seed not in first.out
    config = tmp_path / "broker.conf"
    config.write_text(first.out.replace("$STORE_DIR", f'"{tmp_path / "streams"}"'))
    with EmbeddedBroker(tmp_path / "broker", config=config) as broker:
        settings = BrokerSettings(nats_url=broker.url, nats_nkey=folder / "edge-dev.nk")
        async with connected(settings, "tests", wait_for_broker=False) as connection:
            assert await connection.is_alive()


async def test_without_files_and_regions_those_of_the_running_catalogue_count(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)

        written = await Cli(broker.url).succeeds("broker-config")

    assert "REGION_prod-us-west {" in written.out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--region", "a-b", "--region", "a_b"), "edge-a-b and edge-a_b get the same variable; use --nkeys"),
        (("--region", "dev", "--key", "console"), "console and console get the same variable"),
        (("--region", "dev", "--alert-source", "edge-dev"), "get the same variable"),
        (("--region", 'x"}'), "invalid region name"),
        (("--region", "dev", "--key", "a b"), "invalid key name"),
        (("--region", "dev", "--alert-source", "a.b"), "invalid source name"),
    ],
)
async def test_names_that_would_not_be_told_apart_are_refused(options: tuple[str, ...], error: str) -> None:
    assert error in (await Cli(NOWHERE).refused("broker-config", *options)).line


async def test_a_file_in_place_of_a_seed_is_kept(tmp_path: Path) -> None:
    (tmp_path / "scheduler.nk").write_text("mine")

    refused = await Cli(NOWHERE).refused("broker-config", "--region", "dev", "--nkeys", str(tmp_path))

    assert "scheduler.nk has no seed of a user" in refused.line
    assert (tmp_path / "scheduler.nk").read_text() == "mine"
    assert not (tmp_path / "monitor.nk").exists()
