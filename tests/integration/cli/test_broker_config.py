"""`sluiceway broker-config`: what it writes is what a broker takes, and has no secret in it."""

import asyncio
import os
import re
import stat
import string
import subprocess
from pathlib import Path

import nats
import pytest

from services.local.broker import EmbeddedBroker, find_binary
from sluiceway.cli.broker_accounts import broker_accounts
from sluiceway.cli.broker_sign_in import nkey_variable, password_variable, public_key
from sluiceway.messaging.connection import connected
from sluiceway.messaging.rules_streams import STREAMS_MAX, RulesStreams
from sluiceway.settings import BrokerSettings
from tests.support.broker_forms import broker_environment, seed_of, write_config
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.cli.calls import EXAMPLES, ROOT, Cli
from tests.support.system import driving, services

NOWHERE = "nats://127.0.0.1:1"
NAMES = ("-f", str(EXAMPLES / "catalogue"), "--key", "3f9a11c2", "--alert-source", "pager")
REGIONS = ["dev", "staging", "prod-us-west", "prod-us-east", "prod-eu"]
NATS = ROOT / "deploy" / "nats"
#: What each file in `deploy/nats` is written by.
FORMS = {
    "laptop.conf": (),
    "single-host.conf": (*NAMES, "--tls"),
    "cluster.conf": (*NAMES, "--tls", "--cluster=nats-1", "--cluster=nats-2", "--cluster=nats-3"),
    "leaf.conf": ("--tls", "--leaf=prod-eu", *(f"--hub=tls://nats-{number}" for number in (1, 2, 3))),
}


def checked(file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have nats-server check a configuration, with these variables and no others."""
    return subprocess.run(
        [str(find_binary()), "-t", "-c", str(file)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize("file", FORMS)
async def test_a_file_in_the_repository_is_what_it_writes_for_the_example_catalogue(file: str) -> None:
    written = await Cli(NOWHERE).succeeds("broker-config", *FORMS[file])

    assert written.out == (NATS / file).read_text()


async def test_every_file_in_the_repository_is_such_a_form() -> None:
    assert {file.name for file in NATS.iterdir()} == {*FORMS}


@pytest.mark.parametrize("file", FORMS)
async def test_nats_server_takes_a_file_with_all_its_variables_and_names_one_that_is_missing(
    file: str, tmp_path: Path
) -> None:
    await write_config(tmp_path)
    users = [
        user.name for account in broker_accounts(REGIONS, ["3f9a11c2"], ["pager"]) for user in account.users
    ]
    keys = {nkey_variable(user): public_key(tmp_path / "secrets" / f"{user}.nk") for user in users}
    secrets = tmp_path / "secrets"
    hub = {"HUB_CA": str(secrets / "ca.pem"), "HUB_SEED": seed_of(secrets, "leaf-prod-eu")}
    text = (NATS / file).read_text()
    variables = set(re.findall(r"\$([A-Z][A-Z0-9_]+)\b", re.sub(r"#.*|\"[^\"]*\"", "", text)))
    given = {
        name: value
        for name, value in {**broker_environment(tmp_path, "127.0.0.1"), **hub, **keys}.items()
        if name in variables
    }

    assert variables == {*given}
    assert checked(NATS / file, **given).returncode == 0
    for missing in variables:
        others = {name: value for name, value in given.items() if name != missing}
        assert f"'{missing}'" in checked(NATS / file, **others).stderr


@pytest.mark.parametrize("count", [2, STREAMS_MAX])
async def test_nats_server_takes_it_with_several_streams_of_rules(tmp_path: Path, count: int) -> None:
    rules, file = RulesStreams(count), tmp_path / "broker.conf"
    regions = [f"region-{number}" for number in range(100)]
    call = ("broker-config", *(f"--region={name}" for name in regions), "--secrets", str(tmp_path / "nkeys"))

    written = await Cli(NOWHERE)(*call, "--rules-streams", str(count))

    file.write_text(written.out)
    assert checked(file, STORE_DIR=str(tmp_path)).returncode == 0
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

        running = await cli.succeeds("broker-config", "--tls")
        given = await cli.succeeds("broker-config", "--tls", "--rules-streams", "2")
        of_names = await cli.succeeds("broker-config", "--tls", "--region", "prod-us-west")

    assert RulesStreams(3).of("prod-us-west") == "KV_RULES_2"
    assert "CREATE.KV_RULES_2.*.$KV.RULES.prod-us-west.>" in running.out
    assert "KV_RULES_2" not in given.out
    assert "KV_RULES_1" not in of_names.out


async def test_the_same_names_in_any_order_give_the_same_text() -> None:
    cli = Cli(NOWHERE)
    one = await cli.succeeds(
        "broker-config", "--tls", "--region", "a", "--region", "b", "--key", "k1", "--key", "k2"
    )
    other = await cli.succeeds(
        "broker-config", "--tls", "--key", "k2", "--region", "b", "--region", "a", "--key", "k1"
    )

    assert one.out == other.out
    assert "REGION_a {" in one.out


async def test_nkeys_are_kept_in_files_that_their_owner_alone_reads(tmp_path: Path) -> None:
    folder = tmp_path / "nkeys"
    call = ("broker-config", "--region", "dev", "--key", "3f9a11c2", "--secrets", str(folder))
    first, second = await Cli(NOWHERE)(*call), await Cli(NOWHERE).succeeds(*call)

    seeds = {file: file.read_text() for file in folder.iterdir()}
    assert first.out == second.out
    assert "created the seeds of scheduler, " in first.line
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IRWXU
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

        written = await Cli(broker.url).succeeds("broker-config", "--tls")

    assert "REGION_prod-us-west {" in written.out


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            ("--region", "a-b", "--region", "a_b"),
            "edge-a-b and leaf-a-b and edge-a_b and leaf-a_b get the same variable; use --secrets",
        ),
        (("--region", "dev", "--key", "console"), "console and console get the same variable"),
        (("--region", "dev", "--alert-source", "edge-dev"), "get the same variable"),
        (("--region", 'x"}'), "invalid region name"),
        (("--region", "dev", "--key", "a b"), "invalid key name"),
        (("--region", "dev", "--alert-source", "a.b"), "invalid source name"),
    ],
)
async def test_names_that_would_not_be_told_apart_are_refused(options: tuple[str, ...], error: str) -> None:
    assert error in (await Cli(NOWHERE).refused("broker-config", "--tls", *options)).line


async def test_a_file_in_place_of_a_seed_is_kept(tmp_path: Path) -> None:
    (tmp_path / "scheduler.nk").write_text("mine")

    refused = await Cli(NOWHERE).refused("broker-config", "--region", "dev", "--secrets", str(tmp_path))

    assert "scheduler.nk has no seed of a user" in refused.line
    assert (tmp_path / "scheduler.nk").read_text() == "mine"
    assert not (tmp_path / "monitor.nk").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--key", "3f9a11c2"), "--key, --operator and --alert-source need --tls, --secrets or --passwords"),
        (("--secrets", "x", "--passwords"), "use one"),
        (("--cluster", "a"), "--cluster and --leaf need --tls"),
        (("--tls", "--region", "dev", "--cluster", "a:1"), "invalid host 'a:1'"),
        (("--leaf", "dev", "--hub", "tls://a"), "--cluster and --leaf need --tls"),
        (("--tls", "--leaf", "dev"), "--leaf and --hub need each other"),
        (("--tls", "--leaf", "d.ev", "--hub", "tls://a"), "invalid region name 'd.ev'"),
        (("--tls", "--leaf", "dev", "--hub", "nats://a"), "invalid hub 'nats://a'"),
        (("--tls", "--leaf", "dev", "--hub", "tls://u:p@a"), "invalid hub"),
        (
            ("--tls", "--leaf", "dev", "--hub", "tls://a", "--key", "k"),
            "--leaf is for the edges of one region",
        ),
        (("--host", "a", "--tls"), "--host is for the certificate that --tls and --secrets create"),
        (("--tls", "--region", "dev", "--secrets", ""), "--secrets is empty: is a variable not set?"),
        (("-o", ""), "--output is empty"),
        (("--tls", "--region", "dev", "--leaf", ""), "--leaf is empty"),
        (("--tls", "-f", ""), "--file is empty"),
    ],
)
async def test_options_that_would_have_no_effect_are_refused(
    options: tuple[str, ...], error: str, tmp_path: Path
) -> None:
    assert error in (await Cli(NOWHERE).refused("broker-config", *options)).line


async def test_passwords_come_from_the_environment(tmp_path: Path) -> None:
    written = await Cli(NOWHERE).succeeds("broker-config", "--region", "dev", "--passwords")

    (tmp_path / "broker.conf").write_text(written.out)
    users = [user.name for account in broker_accounts(["dev"], [], []) for user in account.users]
    given = {"STORE_DIR": str(tmp_path), **{password_variable(user): "s3cr3t" for user in users}}
    assert checked(tmp_path / "broker.conf", **given).returncode == 0
    del given["CONSOLE_PASSWORD"]
    assert "'CONSOLE_PASSWORD'" in checked(tmp_path / "broker.conf", **given).stderr


async def test_a_password_of_the_characters_that_the_file_names_is_taken_as_it_is(tmp_path: Path) -> None:
    written = await Cli(NOWHERE).succeeds("broker-config", "--region", "dev", "--passwords")
    config = tmp_path / "broker.conf"
    config.write_text(written.out)
    users = [user.name for account in broker_accounts(["dev"], [], []) for user in account.users]
    passwords = dict.fromkeys(users, f"Z-_{string.ascii_letters}{string.digits}")
    passwords |= {
        "scheduler": "true------------",
        "monitor": "e0123456789abcdef",
        "console": "include_xxxxxxxxx_",
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STORE_DIR", str(tmp_path / "streams"))
        for user, password in passwords.items():
            patched.setenv(password_variable(user), password)

        with EmbeddedBroker(tmp_path / "broker", config=config) as broker:
            for user, password in passwords.items():
                if not user.startswith("leaf-"):
                    await signs_in(broker.url, user, password)

    assert "of letters, digits, - and _ only (at least 16, with a letter first)" in written.out


async def signs_in(url: str, user: str, password: str) -> None:
    await (await nats.connect(url, user=user, password=password, allow_reconnect=False)).close()


async def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """An empty one would let anybody connect from anywhere."""
    file = tmp_path / "broker.conf"
    options = ("broker-config", "--region", "dev", "--tls", "--output", str(file))

    assert (await Cli(NOWHERE).succeeds(*options)).out == ""
    before = file.read_text()
    await Cli(NOWHERE).refused(*options, "--key", "a b")
    unwritable = await Cli(NOWHERE).refused(*options[:-1], str(tmp_path / "missing" / "broker.conf"))

    assert "REGION_dev {" in before
    assert file.read_text() == before
    assert files_in(tmp_path) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert "cannot write" in unwritable.line
    assert "missing/broker.conf: No such file" in unwritable.line


async def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to("/dev/null")

    for output in (pipe, link, tmp_path):
        refused = await Cli(NOWHERE).refused("broker-config", "--output", str(output))
        assert refused.line.endswith(
            f"--output {output} is not a file: leave it out to print the configuration"
        )

    assert pipe.is_fifo()
    assert link.is_symlink()


async def test_what_a_link_leads_to_is_written(tmp_path: Path) -> None:
    file, link, to_nothing = tmp_path / "real.conf", tmp_path / "link.conf", tmp_path / "new.conf"
    file.write_text("old")
    link.symlink_to(file)
    to_nothing.symlink_to("made.conf")

    for output in (link, to_nothing):
        await Cli(NOWHERE).succeeds("broker-config", "--output", str(output))

    assert file.read_text() == (tmp_path / "made.conf").read_text() == (NATS / "laptop.conf").read_text()
    assert link.is_symlink()
    assert to_nothing.is_symlink()


def files_in(folder: Path) -> list[Path]:
    return [*folder.iterdir()]


async def test_commands_that_create_the_same_secrets_at_the_same_time_agree(tmp_path: Path) -> None:
    options = ("--region", "dev", "--tls", "--secrets", str(tmp_path / "secrets"))

    calls = await asyncio.gather(*(Cli(NOWHERE)("broker-config", *options) for _ in range(4)))

    assert [call.code for call in calls] == [0] * 4
    assert len({call.out for call in calls}) == 1
    again = await Cli(NOWHERE).succeeds("broker-config", *options)  # and there is nothing more to do
    assert again.out == calls[0].out
