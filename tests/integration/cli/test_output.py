"""Output in terminals that are not UTF-8, into pipes that are closed, and onto a full disk."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.brokers import Broker
from tests.support.cli.calls import ROOT, Cli, forked_program

DESCRIPTION = "größer — 价格 😀"
ASCII = {"PYTHONIOENCODING": "ascii"}
STRICT = {"PYTHONIOENCODING": "ascii:strict"}
LATIN = {"PYTHONIOENCODING": "latin-1"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UTF_8 = {"PYTHONIOENCODING": "utf-8"}
TERMINALS = [ASCII, STRICT, LATIN, C_LOCALE, UTF_8]


#: The command line in an interpreter that starts, and that ends as interpreters do.
INTERPRETER = (sys.executable, "-m", "sluiceway.cli.main")


async def shell(
    broker: Broker, script: str, environment: Mapping[str, str] = UTF_8, program: Sequence[str] = INTERPRETER
) -> subprocess.CompletedProcess[bytes]:
    """Run a script of bash in which $cli is the command line."""
    cli = shlex.join(program)
    return await asyncio.to_thread(  # the services of this process must go on
        subprocess.run,
        ["bash", "-o", "pipefail", "-c", script.replace("$cli", cli)],
        cwd=ROOT,
        env={**os.environ, "SLUICEWAY_NATS_URL": broker.url, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
async def described(cli: Cli, tmp_path: Path) -> Path:
    """Save a config with characters from beyond ASCII; return its file."""
    file = tmp_path / "größe.json"
    value = {"kind": "DynamicConfig", "name": "banner", "description": DESCRIPTION, "defaultValue": {"a": 1}}
    file.write_text(json.dumps(value), encoding="utf-8")
    await cli.succeeds("apply", "-f", str(file))
    return file


@pytest.mark.parametrize("terminal", TERMINALS, ids=lambda t: " ".join(t.values()))
async def test_json_is_utf_8_or_ascii_in_every_terminal(
    described: Path, broker: Broker, terminal: dict[str, str]
) -> None:
    program = forked_program(terminal)

    saved = await shell(broker, "$cli get configs banner --json", terminal, program)
    refused = await shell(broker, "$cli get configs größe --json", terminal, program)

    assert saved.returncode == 0, saved
    assert json.loads(saved.stdout.decode("utf-8"))["description"] == DESCRIPTION
    assert refused.returncode == 1, refused
    assert "größe" in json.loads(refused.stdout.decode("utf-8"))["error"]["message"]
    assert b"Traceback" not in saved.stderr + refused.stderr


@pytest.mark.parametrize("terminal", TERMINALS, ids=lambda t: " ".join(t.values()))
async def test_text_replaces_what_a_terminal_cannot_show(
    described: Path, broker: Broker, cli: Cli, terminal: dict[str, str]
) -> None:
    called = await shell(
        broker,
        f"$cli config set banner --reason 'größer 😀' --value '{{\"a\": \"é\"}}' && $cli get configs"
        f" && $cli check banner --region none; $cli apply -f {described} --dry-run; $cli --help",
        terminal,
        forked_program(terminal),
    )

    assert called.returncode == 0, called
    assert b"banner" in called.stdout
    assert b"Traceback" not in called.stderr
    saved = await cli.succeeds("get", "configs", "banner", "--json")
    assert saved.json["defaultValue"] == {"a": "é"}


async def test_a_live_view_writes_json_that_any_terminal_can_show(
    described: Path, broker: Broker, cli: Cli
) -> None:
    watching = Cli(broker.url, **ASCII)

    async with watching.running("watch", "--json") as process:
        assert process.stdout
        shown = asyncio.create_task(process.stdout.readline())
        while not shown.done():  # the first changes may come before the view has started
            await cli.succeeds("config", "set", "banner", "--reason", DESCRIPTION, "--value", _next())

        assert (await shown).isascii()
        assert json.loads(await shown)["reason"] == DESCRIPTION


async def test_a_closed_pipe_ends_quietly(described: Path, broker: Broker) -> None:
    codes = {}
    for arguments in ("get configs", "get configs --json", "get nonsense x --json", "--help", "get --help"):
        called = await shell(broker, f"$cli {arguments} | true")
        assert b"Traceback" not in called.stderr, arguments
        assert b"Broken pipe" not in called.stderr, arguments
        assert b"Exception ignored" not in called.stderr, arguments
        codes[arguments] = called.returncode
    assert codes["get configs"] == 0


async def test_applying_goes_on_if_nobody_reads_the_output(cli: Cli, broker: Broker, tmp_path: Path) -> None:
    documents = [f"{{kind: Environment, name: e{number}}}" for number in range(50)]
    (tmp_path / "all.yaml").write_text("\n---\n".join(documents))

    called = await shell(broker, f"$cli apply -f {tmp_path / 'all.yaml'} | head -1")

    assert (called.returncode, called.stderr) == (0, b"")
    assert len((await cli.succeeds("get", "environments", "--json")).json) == 50


async def test_an_output_that_cannot_be_written_is_an_error_on_one_line(
    described: Path, broker: Broker
) -> None:
    for arguments in ("get configs", "get configs --json", "--help"):
        called = await shell(broker, f"$cli {arguments} > /dev/full")
        assert called.returncode == 1, called
        assert b"No space left on device" in called.stderr, called
        assert called.stderr.count(b"\n") == 1, called


async def test_a_closed_output_is_no_error(described: Path, broker: Broker) -> None:
    for arguments in ("get configs", "get configs --json"):
        called = await shell(broker, f"$cli {arguments} >&-")
        assert (called.returncode, called.stderr) == (0, b"")


_values = iter(range(1_000))


def _next() -> str:
    return json.dumps({"a": next(_values)})
