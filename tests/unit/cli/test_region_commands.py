"""`sluiceway region provision` beside a leaf node that lies."""

from types import SimpleNamespace
from typing import cast

import pytest

from sluiceway.cli import region_commands
from sluiceway.cli.session import CliSession, CommandFailed
from sluiceway.contracts import subjects
from tests.unit.messaging.test_region_leaves import FakeClient, in_order


@pytest.mark.parametrize(
    "answer", [b"\xff", b'{"config": {"name": "\xff"}}', b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"]
)
@pytest.mark.parametrize("only_check", [True, False])
async def test_an_answer_that_is_none_is_a_clear_error(
    answer: bytes, only_check: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_catalogue(connection: object) -> object:
        return SimpleNamespace(regions={"dev"})

    monkeypatch.setattr(region_commands, "read_catalogue", read_catalogue)
    client = FakeClient(in_order() | {subjects.leaf_api("dev", "STREAM.INFO.KV_RULES"): answer})
    session = cast(CliSession, SimpleNamespace(connection=SimpleNamespace(client=client)))

    with pytest.raises(CommandFailed, match=r"the leaf node of dev gives no answer: .*not an answer of Jet"):
        await region_commands.provision_region(session, "dev", check=only_check)
