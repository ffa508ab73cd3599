"""`sluiceway check`, `simulate`, `alert` and `dead-letters`."""

import pytest

from sluiceway.contracts import subjects
from sluiceway.contracts.feature import TriggerStatus
from tests.support.brokers import Broker
from tests.support.cli.calls import EXAMPLES, Cli
from tests.support.system import Driver, following
from tests.support.waiting import eventually

from .documents import CATALOGUE, RELEASE

TRIGGER = "gate.checkout.1"


@pytest.fixture
async def released(cli: Cli, broker: Broker) -> Cli:
    """A gate in its first phase, and the rules that say so published."""
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)
    await cli.succeeds("gate", "set", "checkout", "--off")
    await cli.succeeds("apply", "-f", "-", stdin=RELEASE)
    async with following(broker.url, "dev") as dev, following(broker.url, "eu") as eu:
        await eventually(lambda: dev.passes("checkout"), "dev has the candidate")
        await eventually(lambda: len(eu.rules) == 1, "eu has the base")
    return cli


async def test_a_check_shows_the_value_and_the_rule_it_came_from(released: Cli) -> None:
    user = '{"userID": "u1"}'
    candidate = await released.succeeds("check", "checkout", "--region", "dev", "--user", user, "--json")
    base = await released.succeeds("check", "checkout", "--region", "eu", "--user", user)
    unknown = await released.refused("check", "nothing", "--region", "dev")
    garbled = await released.refused("check", "checkout", "--region", "dev", "--user", "u1")

    assert (candidate.json["value"], candidate.json["rule_id"]) == (True, "everyone")
    assert candidate.json["trigger"] == TRIGGER
    assert base.out.startswith("false  (rule default, static, revision ")
    assert unknown.line == "region dev has no rules for 'nothing'"
    assert "--user is not valid JSON" in garbled.line


async def test_a_name_of_both_a_gate_and_a_config_needs_an_option(released: Cli, broker: Broker) -> None:
    await released.succeeds("config", "set", "checkout", "--value", '{"items": 5}')
    async with following(broker.url, "dev") as dev:
        await eventually(lambda: len(dev.rules) == 2, "dev has the config")

    unclear = await released.refused("check", "checkout", "--region", "dev")
    config = await released.succeeds("check", "checkout", "--region", "dev", "--config", "--json")
    gate = await released.succeeds("check", "checkout", "--region", "dev", "--gate", "--json")

    assert unclear.line == "checkout is both a gate and a dynamic config; use --gate or --config"
    assert (config.json["value"], gate.json["value"]) == ({"items": 5}, True)


async def test_a_simulation_shows_for_each_phase_which_regions_get_the_candidate(cli: Cli) -> None:
    catalogue = [str(EXAMPLES / "catalogue" / name) for name in ("regions.yaml", "pipelines.yaml")]
    await cli.succeeds("apply", "-f", str(EXAMPLES / "catalogue" / "environments.yaml"))

    by_files = await cli.succeeds("simulate", "-f", catalogue[0], "-f", catalogue[1], "--json")
    no_regions = await cli.refused("simulate", "-f", catalogue[1])
    await cli.succeeds("apply", "-f", str(EXAMPLES / "catalogue"))
    by_change = await cli.succeeds(
        "simulate", "-f", str(EXAMPLES / "changes" / "new_checkout.yaml"), "--json"
    )
    table = await cli.succeeds("simulate", "-f", catalogue[1])

    phases = by_files.json["prod-release"]
    assert [list(extents.values()).count("fully") for extents in phases.values()] == [1, 2, 3, 4, 5]
    assert phases["prod-us-west"]["prod-us-west"] == "fully"
    assert by_change.json == by_files.json
    assert table.out.splitlines()[1].split()[:3] == ["prod-release:", "development", "fully"]
    assert "no region exists yet" in no_regions.line


async def test_a_simulation_reports_what_would_be_refused(cli: Cli) -> None:
    nowhere = (
        "{kind: ReleasePipeline, name: p, phases: [{name: x, rules: [{name: a, environments: [mars]}]}]}"
    )
    regions = "{kind: Environment, name: dev}\n---\n{kind: Region, name: dev, environment: dev}"

    wrong = await cli.refused("simulate", "-f", "-", stdin=f"{nowhere}\n---\n{regions}")
    missing = await cli.refused("simulate", "-f", "-", stdin=RELEASE)
    detached = await cli.refused("simulate", "-f", "-", stdin="{kind: FeatureGate, name: page}")

    assert "unknown environment 'mars' (known: dev)" in wrong.line
    assert missing.line == "unknown pipeline 'slow' (known: none)"
    assert "the file has no pipeline" in detached.line


async def test_an_alert_is_stored_and_rolls_the_release_back(released: Cli, driver: Driver) -> None:
    resolved = await released.succeeds("alert", "resolve", "Errors", "--label", "gate=checkout")
    fired = await released.succeeds("alert", "fire", "Errors", "--label", "gate=checkout", "--json")

    await driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)
    log = (await released.succeeds("trigger", "log", TRIGGER, "--json")).json
    assert resolved.out == "Errors is resolved, stored as message 1 with labels gate=checkout\n"
    assert (fired.json["sequence"], fired.json["status"]) == (2, "firing")
    assert (log[-1]["type"], log[-1]["actorID"]) == ("trigger_rolled_back", "monitor")


async def test_an_alert_with_an_invalid_label_or_source_is_refused(cli: Cli) -> None:
    label = await cli.refused("alert", "fire", "Errors", "--label", "checkout")
    source = await cli.refused("alert", "fire", "Errors", "--source", "a.*")

    assert "use KEY=VALUE" in label.line
    assert "invalid source name 'a.*'" in source.line


async def test_rejected_messages_are_shown(cli: Cli, driver: Driver) -> None:
    for body in (b"first", b"[/second]"):
        await driver.connection.client.request(subjects.command("save_feature"), body, timeout=5)

    both = (await cli.succeeds("dead-letters", "--json")).json
    newest = (await cli.succeeds("dead-letters", "--last", "1", "--json")).json
    table = (await cli.succeeds("dead-letters")).out

    assert [letter["message"] for letter in both] == ["first", "[/second]"]
    assert newest == both[1:]
    assert (newest[0]["service"], newest[0]["subject"]) == ("scheduler", "sluiceway.commands.save_feature")
    assert "Invalid JSON" in newest[0]["reason"]
    assert len(table.splitlines()) == 3
