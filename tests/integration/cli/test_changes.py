"""`sluiceway gate|config …` and the deletions: quick changes of what is live."""

from tests.support.cli.calls import Cli
from tests.support.system import Driver

from .documents import CATALOGUE, RELEASE


async def test_a_gate_is_turned_on_widened_and_turned_off(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)

    on = await cli.succeeds(
        "gate", "set", "page", "--on", "--pass", "10", "--where", "country any US,DE",
        "--environment", "production", "--description", "A page",
    )  # fmt: skip
    grown = await cli.succeeds("gate", "set", "page", "--pass", "50", "--json")
    shown = (await cli.succeeds("get", "gates", "page", "--json")).json
    again = await cli.succeeds("gate", "set", "page", "--pass", "50")
    await cli.succeeds("gate", "set", "page", "--off")

    assert on.out == "gate.page: live\n"
    assert grown.json["outcome"] == "accepted"
    (rule,) = shown["rules"]
    assert (rule["name"], rule["passPercentage"], rule["environments"]) == ("set", 50, ["production"])
    assert rule["conditions"][0]["targetValue"] == ["US", "DE"]
    assert shown["description"] == "A page"
    assert "no effective change" in again.out
    assert (await cli.succeeds("get", "gates", "page", "--json")).json["rules"] == []


async def test_a_change_with_a_pipeline_starts_a_trigger(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)
    await cli.succeeds("gate", "set", "page", "--off")

    started = await cli.succeeds("gate", "set", "page", "--on", "--pipeline", "slow", "--reason", "go")
    refused = await cli.refused("gate", "set", "page", "--off", "--json")

    assert started.out.startswith("gate.page: gate.page.1 IN_PROGRESS, phase dev, next in ")
    assert "Is somebody watching?" in started.out
    assert refused.json["error"]["code"] == "trigger_active"
    assert refused.json["error"]["message"] == refused.line


async def test_a_config_has_a_value_for_all_users_and_one_for_some(cli: Cli) -> None:
    await cli.succeeds("config", "set", "limits", "--value", '{"items": 5}')
    await cli.succeeds("config", "set", "limits", "--value", '{"items": 9}', "--where", "country any US")

    shown = (await cli.succeeds("get", "configs", "limits", "--json")).json

    assert shown["defaultValue"] == {"items": 5}
    assert [rule["returnValue"] for rule in shown["rules"]] == [{"items": 9}]


async def test_contradictory_options_are_refused_before_anything_is_sent(cli: Cli, driver: Driver) -> None:
    calls = {
        "--off is for everyone": ("gate", "set", "page", "--off", "--pass", "10"),
        "require --value": ("config", "set", "limits", "--where", "country any US"),
        "--value is not valid JSON": ("config", "set", "limits", "--value", "{"),
        "invalid gate name 'a page'": ("gate", "set", "a page", "--on"),
        "pipeline_id: String should match": ("pipeline", "delete", "a.b"),
        "reason: String should have at most": ("gate", "set", "page", "--on", "--reason", "x" * 2_001),
    }
    for expected, call in calls.items():
        assert expected in (await cli.refused(*call)).line

    assert await driver.history("page") == []


async def test_an_archived_feature_is_reported_as_archived(cli: Cli) -> None:
    await cli.succeeds("gate", "set", "page", "--on")

    archived = await cli.succeeds("gate", "archive", "page", "--reason", "nobody asks")
    again = await cli.succeeds("gate", "archive", "page")
    unknown = await cli.refused("config", "archive", "page")

    assert archived.out == "gate.page: archived\n"
    assert "is archived already" in again.out
    assert unknown.line == "dynamic_config.page does not exist; save it first"
    assert (await cli.succeeds("get", "gates", "page", "--json")).json["status"] == "archived"


async def test_only_what_is_not_in_use_can_be_deleted(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{RELEASE}")

    attached = await cli.refused("pipeline", "delete", "slow", "--json")
    inhabited = await cli.refused("environment", "delete", "production")
    await cli.succeeds("region", "delete", "eu", "--reason", "moved")
    deleted = await cli.succeeds("environment", "delete", "production")

    assert attached.json["error"]["code"] == "in_use"
    assert inhabited.line == "environment production has the regions eu; delete them first"
    assert deleted.out == "production deleted\n"
    assert [r["name"] for r in (await cli.succeeds("get", "regions", "--json")).json] == ["dev"]
