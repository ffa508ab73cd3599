"""The generated interface is the one that is checked in, and names every command."""

from pathlib import Path

import yaml

from services.asyncapi import document
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import PUBLIC_COMMANDS

FILE = Path(__file__).parents[2] / "deploy" / "asyncapi.yaml"


def test_the_document_is_up_to_date() -> None:
    assert document() == FILE.read_text(), "run `make asyncapi`"


def test_every_command_has_its_channel_and_its_reply() -> None:
    content = yaml.safe_load(FILE.read_text())

    for model in PUBLIC_COMMANDS:
        operation = content["operations"][subjects.command(model.verb)]
        assert operation["reply"]["channel"]["$ref"] == "#/channels/reply"
        assert model.__name__ in content["components"]["schemas"]
