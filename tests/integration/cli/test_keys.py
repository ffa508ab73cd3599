"""`sluiceway key …`: shown once, listed without its secret, revoked."""

import json

from sluiceway import console_keys, sdk_keys
from tests.support.catalogues import apply_catalogue
from tests.support.cli.calls import Cli
from tests.support.system import Driver

from .documents import CATALOGUE


async def test_a_key_is_shown_once_and_only_its_digest_is_kept(cli: Cli, driver: Driver) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)

    created = (await cli.succeeds("key", "create", "--region", "eu", "--json")).json
    listed = await cli.succeeds("key", "list", "--json")
    stored = await driver.connection.js.get_last_msg("KV_CATALOG", f"$KV.CATALOG.key.{created['id']}")

    assert sdk_keys.key_id(created["key"]) == created["id"]
    assert listed.json[0]["region"] == "eu"
    assert created["key"] not in listed.out
    assert stored.data
    assert sdk_keys.digest(created["key"]).encode() in stored.data
    assert created["key"].encode() not in stored.data


async def test_an_sdk_key_is_for_one_existing_region_or_environment(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)

    nothing = await cli.refused("key", "create")
    both = await cli.refused("key", "create", "--region", "eu", "--environment", "production")
    nowhere = await cli.refused("key", "create", "--region", "mars")
    never = await cli.refused("key", "create", "--environment", "mars")

    assert nothing.line == both.line
    assert "give either --region or --environment" in nothing.line
    assert nowhere.line == "unknown region 'mars' (known: dev, eu)"
    assert never.line == "unknown environment 'mars' (known: development, production)"


async def test_the_owner_of_a_key_may_be_mapped_to_an_account_and_is_a_visible_name(cli: Cli) -> None:
    roles = ("--role", "viewer")
    await cli.succeeds("key", "create", "--owner", "ada", "--account", "https://id.example/ 7", *roles)

    hidden = await cli.refused("key", "create", "--owner", "ad\u200ba", *roles)
    service = await cli.refused("key", "create", "--owner", " Monitor", *roles)
    wrong = await cli.refused("key", "create", "--owner", "ada", "--account", "7", *roles)

    listed = (await cli.succeeds("key", "list", "--json")).json
    assert [key["account"] for key in listed] == [
        {"issuer": "https://id.example/", "subject": "7", "email": None}
    ]
    assert "the owner 'ad\\u200ba' has characters that are not visible" in hidden.line
    assert "is the name of a service" in service.line
    assert "expected 'ISSUER SUBJECT'" in wrong.line


async def test_a_revoked_key_is_deleted(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)
    created = (await cli.succeeds("key", "create", "--environment", "production", "--json")).json

    await cli.succeeds("key", "revoke", created["id"], "--reason", "was in a log")
    again = await cli.refused("key", "revoke", created["id"])

    assert (await cli.succeeds("key", "list", "--json")).json == []
    assert "unknown key" in again.line


async def test_an_api_key_names_its_owner_and_stores_only_a_hash(cli: Cli, driver: Driver) -> None:
    await apply_catalogue(driver)

    created = await cli.succeeds(
        "key", "create", "--owner", "ada", "--role", "approver", "--role", "operator", "--group", "sre",
        "--environment", "production", "--pipeline", "prod-release", "--expires", "90d", "--json",
    )  # fmt: skip
    listed = (await cli.succeeds("key", "list", "--json")).json
    stored = await driver.connection.js.get_last_msg(
        "KV_CATALOG", f"$KV.CATALOG.api_key.{created.json['id']}"
    )

    key = created.json["key"]
    assert console_keys.matches(key, json.loads(stored.data or b"")["hash"])
    assert key.encode() not in (stored.data or b"")
    (only,) = listed
    assert "hash" not in only
    assert (only["owner"], only["groups"]) == ("ada", ["sre"])
    scope = {"environments": ["production"], "pipelines": ["prod-release"]}
    assert only["grants"] == [{"role": "approver", **scope}, {"role": "operator", **scope}]
    assert only["expiresMs"] - only["createdMs"] == 90 * 86_400_000


async def test_the_list_of_keys_shows_permissions_and_expiry(cli: Cli, driver: Driver) -> None:
    await apply_catalogue(driver)
    await cli.succeeds("key", "create", "--owner", "ada", "--role", "viewer", "--expires", "1ms")

    listed = await cli.succeeds("key", "list")

    assert "viewer everywhere" in listed.out
    assert "(expired)" in listed.out


async def test_an_invalid_api_key_is_refused(cli: Cli, driver: Driver) -> None:
    await apply_catalogue(driver)

    async def refusal(*arguments: str) -> str:
        return (await cli.refused("key", "create", *arguments)).line

    assert "give both --owner and --role" in await refusal("--role", "viewer")
    assert "give both --owner and --role" in await refusal("--owner", "ada")
    assert "add --owner and --role" in await refusal("--region", "dev", "--group", "sre")
    assert "is the name of a service" in await refusal("--owner", "monitor", "--role", "viewer")
    assert "unknown environment 'mars'" in await refusal(
        "--owner", "ada", "--role", "viewer", "--environment", "mars"
    )
    assert "unknown pipeline 'mars'" in await refusal(
        "--owner", "ada", "--role", "viewer", "--pipeline", "mars"
    )
    assert "invalid duration 'soon'" in await refusal(
        "--owner", "ada", "--role", "viewer", "--expires", "soon"
    )


async def test_both_kinds_of_keys_are_revoked_the_same_way(cli: Cli) -> None:
    created = (await cli.succeeds("key", "create", "--owner", "ada", "--role", "viewer", "--json")).json

    await cli.succeeds("key", "revoke", created["id"])

    assert (await cli.succeeds("key", "list", "--json")).json == []


async def test_a_new_administrators_key_can_be_had_with_the_services_credentials(
    cli: Cli, driver: Driver
) -> None:
    created = (await cli.succeeds("key", "bootstrap", "--reason", "all are lost", "--json")).json
    listed = (await cli.succeeds("key", "list", "--json")).json
    records = (await cli.succeeds("audit", "list", "--json")).json

    stored = await driver.connection.js.get_last_msg("KV_CATALOG", f"$KV.CATALOG.api_key.{created['id']}")
    assert console_keys.matches(created["key"], json.loads(stored.data or b"")["hash"])
    assert [grant["role"] for key in listed for grant in key["grants"]] == ["admin"]
    assert records
    assert created["key"] not in json.dumps(records)
    assert "all are lost" in json.dumps(records)
