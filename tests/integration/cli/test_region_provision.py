"""`sluiceway region provision`: it says what it did on a leaf node, and what is in the way."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from services.scheduler.region_leaves import RegionLeaves
from sluiceway.contracts.commands import DeleteRegion, SaveRegion
from tests.support.catalogues import region
from tests.support.cli.calls import Cli
from tests.support.leaves import LeafSystem, leaf_system
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

COPIES = ("KV_RULES", "KV_CATALOG")


@pytest.fixture
async def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LeafSystem]:
    """Such a system, whose scheduler does not look at leaf nodes."""

    async def look_at_none(self: RegionLeaves, regions: Iterable[str]) -> None:
        pass

    monkeypatch.setattr(RegionLeaves, "check", look_at_none)
    async with leaf_system(tmp_path) as running:
        await (await running.secured.admin()).save_gate("everywhere", EVERYONE)
        cli = cli_of(running)
        await eventually(lambda: answers(cli), "the account is filled, and the leaf node answers")
        yield running


def cli_of(system: LeafSystem, user: str = "scheduler") -> Cli:
    return Cli(system.secured.url(user, user))


async def answers(cli: Cli) -> bool:
    return "KV_CATALOG: wrong" in (await cli("region", "provision", "dev", "--check")).out


async def test_it_creates_what_is_missing_and_leaves_alone_what_is_in_order(system: LeafSystem) -> None:
    cli = cli_of(system)

    checked = await cli.refused("region", "provision", "dev", "--check")
    first = await cli.succeeds("region", "provision", "dev")
    second = await cli.succeeds("region", "provision", "dev", "--json")
    again = await cli.succeeds("region", "provision", "dev", "--check")

    assert "KV_RULES: wrong, since it is missing; 0 of " in checked.out
    assert checked.line == "the leaf node of dev is not in order"
    assert "KV_RULES: copied again, since it is missing; " in first.out
    copies = second.json["copies"]
    assert [copy["stream"] for copy in copies] == [*COPIES]
    assert all(copy["problem"] is None and copy["messages"] == copy["messagesAtHub"] for copy in copies)
    assert again.out.count("in order") == 2


async def test_two_at_the_same_time_both_succeed(system: LeafSystem) -> None:
    cli = cli_of(system)

    await asyncio.gather(*(cli.succeeds("region", "provision", "dev") for _ in range(3)))

    assert (await cli.succeeds("region", "provision", "dev", "--check")).out.count("in order") == 2


async def test_copies_are_removed_when_the_region_is(system: LeafSystem) -> None:
    cli = cli_of(system)
    await cli.succeeds("region", "provision", "dev")

    early = await cli.refused("region", "provision", "dev", "--remove")
    await (await system.secured.admin()).saved(DeleteRegion, name="dev")
    unknown = await cli.refused("region", "provision", "dev")
    removed = await cli.succeeds("region", "provision", "dev", "--remove")
    second = await cli.succeeds("region", "provision", "dev", "--remove")

    assert "the region dev exists" in early.line
    assert "unknown region 'dev'" in unknown.line
    assert removed.out == "deleted KV_RULES and KV_CATALOG\n"
    assert second.out == "nothing to delete\n"


async def test_what_is_in_the_way_is_named(system: LeafSystem) -> None:
    cli = cli_of(system)
    await (await system.secured.admin()).saved(SaveRegion, region=region("qa", "staging"))

    no_account = await cli.refused("region", "provision", "qa")
    no_leaf = await cli.refused("region", "provision", "prod-eu")
    no_name = await cli.refused("region", "provision", "a.b")
    not_allowed = await cli_of(system, "console").refused("region", "provision", "dev")

    assert "the region qa has no account at the broker" in no_account.line
    assert "sluiceway broker-config" in no_account.line
    assert "no leaf node of prod-eu answers" in no_leaf.line
    assert "invalid region name 'a.b'" in no_name.line
    assert "the broker does not allow these credentials to do this" in not_allowed.line
