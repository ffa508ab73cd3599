"""What all commands have in common: the position of options, exit codes, errors on one line."""

from typing import Any

import pytest
import typer
from typer.main import get_command

from sluiceway.cli.main import app
from tests.support.brokers import Broker
from tests.support.cli.calls import Cli

NOWHERE = "nats://127.0.0.1:1"


@pytest.mark.parametrize("place", ["before", "behind"])
async def test_common_options_work_before_and_after_the_command_and_override_the_environment(
    cli: Cli, broker: Broker, place: str
) -> None:
    options = ("--nats-url", broker.url, "--json", "--actor", "grace")
    call = ("gate", "set", "page", "--on")
    lost = Cli(NOWHERE)

    saved = await lost.succeeds(*((*options, *call) if place == "before" else (*call, *options)))

    assert saved.json["outcome"] == "accepted"
    await cli.succeeds("gate", "set", "page", "--off", "--pipeline", "")
    assert saved.json["feature"]["name"] == "page"


async def test_an_unreachable_broker_is_an_error_on_one_line() -> None:
    nowhere = Cli(NOWHERE)

    call = await nowhere.refused("get", "gates", "--json")

    assert f"no NATS broker answers at {NOWHERE}" in call.line
    assert call.json["error"]["message"] == call.line


async def test_a_broker_without_a_scheduler_is_an_error_on_one_line(broker: Broker) -> None:
    alone = Cli(broker.url)

    reading = await alone.refused("get", "gates")
    changing = await alone.refused("gate", "archive", "page")
    letters = await alone.refused("dead-letters")

    for call in (reading, changing, letters):
        assert "is one running?" in call.line or "is a scheduler running?" in call.line


@pytest.mark.parametrize(
    "call",
    [
        ("get", "rules"),
        ("gate", "set"),
        ("gate", "set", "page", "--pass", "101"),
        ("nonsense",),
        ("watch", "--until-ended"),
    ],
)
async def test_wrong_usage_exits_with_two(broker: Broker, call: tuple[str, ...]) -> None:
    assert (await Cli(broker.url)(*call)).code == 2


async def test_an_invalid_setting_is_an_error_on_one_line(broker: Broker) -> None:
    number = await Cli(broker.url, SLUICEWAY_STREAM_REPLICAS="many").refused("get", "gates")
    file = await Cli(broker.url, SLUICEWAY_NATS_CA="/nowhere.pem").refused("get", "gates")

    assert number.line.startswith("invalid setting SLUICEWAY_STREAM_REPLICAS: ")
    assert "SLUICEWAY_NATS_CA: file /nowhere.pem cannot be read: No such file" in file.line


def test_every_command_has_an_example_in_its_help() -> None:
    without = [
        name for name, command in _commands(get_command(app)) if "sluiceway" not in (command.epilog or "")
    ]

    assert without == []


def _commands(group: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            found += _commands(command, f"{prefix}{name} ")
        else:
            found.append((f"{prefix}{name}", command))
    return found
