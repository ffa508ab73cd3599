"""`sluiceway key …`: shown once, listed without its secret, revoked."""

from sluiceway import keys
from tests.support.system import Driver

from .calls import Cli
from .documents import CATALOGUE


async def test_a_key_is_shown_once_and_only_its_digest_is_kept(cli: Cli, driver: Driver) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)

    created = (await cli.succeeds("key", "create", "--region", "eu", "--json")).json
    listed = await cli.succeeds("key", "list", "--json")
    stored = await driver.connection.js.get_last_msg("KV_CATALOG", f"$KV.CATALOG.key.{created['id']}")

    assert keys.key_id(created["key"]) == created["id"]
    assert listed.json[0]["region"] == "eu"
    assert created["key"] not in listed.out
    assert stored.data
    assert keys.digest(created["key"]).encode() in stored.data
    assert created["key"].encode() not in stored.data


async def test_a_key_is_for_one_place_that_is_there(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)

    nothing = await cli.refused("key", "create")
    both = await cli.refused("key", "create", "--region", "eu", "--environment", "production")
    nowhere = await cli.refused("key", "create", "--region", "mars")
    never = await cli.refused("key", "create", "--environment", "mars")

    assert nothing.line == both.line
    assert "give --region or --environment" in nothing.line
    assert nowhere.line == "there is no region 'mars' (known: dev, eu)"
    assert never.line == "there is no environment 'mars' (known: development, production)"


async def test_a_revoked_key_is_gone(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)
    created = (await cli.succeeds("key", "create", "--environment", "production", "--json")).json

    await cli.succeeds("key", "revoke", created["id"], "--reason", "was in a log")
    again = await cli.refused("key", "revoke", created["id"])

    assert (await cli.succeeds("key", "list", "--json")).json == []
    assert "there is no key" in again.line
