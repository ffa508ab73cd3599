"""What a person at the command line sees while a command waits."""

import asyncio

import pytest

from sluiceway.cli.session import CliSession
from sluiceway.settings import BrokerSettings


async def test_a_user_is_told_once_that_a_command_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sluiceway.cli.session.NOTED_AFTER_SECONDS", 0)
    session = CliSession(BrokerSettings(), as_json=True, actor="ada")

    with session.noting_a_wait():
        for _ in range(3):
            await asyncio.sleep(0)

    shown = capsys.readouterr()
    assert shown.err == "sluiceway: waiting for the broker …\n"
    assert shown.out == ""


async def test_a_command_that_is_answered_soon_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    session = CliSession(BrokerSettings(), as_json=False, actor="ada")

    with session.noting_a_wait():
        await asyncio.sleep(0)

    assert capsys.readouterr().err == ""
