"""Several calls that change the same thing at the same time."""

import asyncio

from sluiceway.contracts.commands import SaveEnvironment
from tests.support.cli.calls import Cli
from tests.support.system import Driver

from .documents import CATALOGUE

RUNS = 4


async def test_a_gate_that_is_turned_off_while_it_is_described_is_off_and_described(cli: Cli) -> None:
    for run in range(RUNS):
        await cli.succeeds("gate", "set", "page", "--on")

        await asyncio.gather(
            cli.succeeds("gate", "set", "page", "--off", "--at-once"),
            cli.succeeds("gate", "set", "page", "--description", f"run {run}"),
        )

        shown = (await cli.succeeds("get", "gates", "page", "--json")).json
        assert (shown["rules"], shown["description"]) == ([], f"run {run}")


async def test_a_new_gate_gets_what_each_of_two_calls_says(cli: Cli) -> None:
    for run in range(RUNS):
        await asyncio.gather(
            cli.succeeds("gate", "set", f"page-{run}", "--on"),
            cli.succeeds("gate", "set", f"page-{run}", "--description", "new"),
        )

        shown = (await cli.succeeds("get", "gates", f"page-{run}", "--json")).json
        assert ([rule["name"] for rule in shown["rules"]], shown["description"]) == (["set"], "new")


async def test_values_for_different_users_all_hold(cli: Cli) -> None:
    countries = ("DE", "FR", "US")

    await asyncio.gather(
        *(
            cli.succeeds("config", "set", "limits", "--value", '{"n": 1}', "--where", f"country any {code}")
            for code in countries
        )
    )

    shown = (await cli.succeeds("get", "configs", "limits", "--json")).json
    assert sorted(rule["conditions"][0]["targetValue"][0] for rule in shown["rules"]) == list(countries)


async def test_of_two_percentages_both_calls_say_what_became_of_them(cli: Cli, driver: Driver) -> None:
    await cli.succeeds("gate", "set", "page", "--on")
    for run in range(RUNS):
        wanted = (10 + run, 50 + run)

        calls = await asyncio.gather(*(cli("gate", "set", "page", "--pass", str(n)) for n in wanted))

        history = [logged.event.feature.base for logged in await driver.history("page")]
        stored = [spec.rules[0].pass_percentage for spec in history if spec]
        for percentage, call in zip(wanted, calls, strict=True):
            assert (percentage in stored) == (call.code == 0), call
            if call.code:
                assert "gate.page was changed by ada at 20" in call.line
                assert "rules.set" in call.line


async def test_a_call_that_says_nothing_of_it_brings_back_nothing_archived(cli: Cli) -> None:
    await cli.succeeds("gate", "set", "page", "--on")
    await cli.succeeds("gate", "archive", "page")

    refused = await cli.refused("gate", "set", "page", "--description", "x")
    off = await cli.refused("gate", "set", "page", "--off")
    still = (await cli.succeeds("get", "gates", "page", "--json")).json["status"]
    await cli.succeeds("gate", "set", "page", "--on")

    assert refused.line == off.line == "gate.page is archived; bring it back with --on"
    assert still == "archived"
    assert (await cli.succeeds("get", "gates", "page", "--json")).json["status"] == "live"


async def test_a_file_that_names_a_revision_is_applied_to_no_other(cli: Cli, driver: Driver) -> None:
    files = f"{CATALOGUE}---\n{{kind: FeatureGate, name: page}}"
    applied = (await cli.succeeds("apply", "-f", "-", "--json", stdin=files)).json
    revisions = {(result["kind"], result["name"]): result["revision"] for result in applied}
    gate, environment = revisions["gate", "page"], revisions["environment", "development"]
    await cli.succeeds("gate", "set", "page", "--on")
    await driver.accepted(SaveEnvironment, environment={"name": "development", "isProduction": True})

    mine = (
        f"{{kind: FeatureGate, name: page, description: mine, revision: {gate}}}\n---\n"
        f"{{kind: Environment, name: development, requiresReleasePipeline: false, revision: {environment}}}"
    )
    refused = await cli.refused("apply", "-f", "-", "--json", stdin=mine)
    dry = await cli.refused("apply", "-f", "-", "--json", "--dry-run", stdin=mine)
    newest = (await cli.succeeds("get", "gates", "page", "--json")).json["revision"]
    saved = f"{{kind: FeatureGate, name: page, description: mine, revision: {newest}}}"
    await cli.succeeds("apply", "-f", "-", stdin=saved)

    codes = [result["refusal"]["code"] for result in refused.json]
    assert codes == ["stale", "stale"]
    assert "gate.page was changed by ada at 20" in refused.json[1]["message"]
    assert "since you read it: isProduction;" in refused.json[0]["message"]
    assert [result["refusal"]["code"] for result in dry.json] == ["stale", "stale"]
    assert (await cli.succeeds("get", "gates", "page", "--json")).json["description"] == "mine"


async def test_a_file_without_a_revision_is_the_wanted_state(cli: Cli) -> None:
    await cli.succeeds("gate", "set", "page", "--on", "--description", "by somebody else")

    await cli.succeeds("apply", "-f", "-", stdin="{kind: FeatureGate, name: page}")

    shown = (await cli.succeeds("get", "gates", "page", "--json")).json
    assert (shown["rules"], shown["description"]) == ([], "")
