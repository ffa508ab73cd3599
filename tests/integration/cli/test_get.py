"""`sluiceway get`: lists, single documents, tables."""

import pytest

from sluiceway.contracts.commands import AbortTrigger
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from tests.support.brokers import Broker
from tests.support.cli.calls import Cli
from tests.support.system import Driver, following
from tests.support.waiting import eventually

from .documents import CATALOGUE, RELEASE

LIMITS = "{kind: DynamicConfig, name: limits, defaultValue: {items: 5}}"


@pytest.fixture
async def applied(cli: Cli) -> Cli:
    await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{RELEASE}---\n{LIMITS}")
    return cli


@pytest.mark.parametrize(
    ("noun", "names"),
    [
        ("environments", ["development", "production"]),
        ("regions", ["dev", "eu"]),
        ("pipelines", ["slow"]),
        ("gates", ["checkout"]),
        ("configs", ["limits"]),
    ],
)
async def test_each_noun_is_shown_as_a_list_as_one_document_or_as_a_table(
    applied: Cli, noun: str, names: list[str]
) -> None:
    documents = (await applied.succeeds("get", noun, "--json")).json
    one = (await applied.succeeds("get", noun, names[-1], "--json")).json
    table = (await applied.succeeds("get", noun)).out
    unknown = await applied.refused("get", noun, "nobody", "--json")

    assert [document["name"] for document in documents] == names
    assert one == documents[-1]
    assert [line.split()[0] for line in table.splitlines()[1:]] == names
    assert unknown.line == f"unknown {noun[:-1]} 'nobody' (known: {', '.join(names)})"
    assert unknown.json == {"error": {"message": unknown.line}}


async def test_a_trigger_has_the_fields_of_the_console_api(applied: Cli) -> None:
    (trigger,) = (await applied.succeeds("get", "triggers", "--json")).json

    assert (trigger["id"], trigger["gateID"]) == ("gate.checkout.1", "checkout")
    assert (trigger["releasePipelineID"], trigger["currentPhaseID"]) == ("slow", "dev")
    assert trigger["actions"][0]["actorID"] == "ada"
    assert [phase["status"] for phase in trigger["phases"]] == ["bakes", "not released"]


async def test_an_older_trigger_is_found_by_its_id(applied: Cli, driver: Driver) -> None:
    await driver.act(AbortTrigger, "gate.checkout.1", reason="not yet")
    await applied.succeeds("apply", "-f", "-", stdin=RELEASE)

    newest = (await applied.succeeds("get", "triggers", "--json")).json
    older = (await applied.succeeds("get", "triggers", "gate.checkout.1", "--json")).json
    never = await applied.refused("get", "triggers", "gate.checkout.3")
    garbled = await applied.refused("get", "triggers", "checkout")

    assert [trigger["id"] for trigger in newest] == ["gate.checkout.2"]
    assert (older["status"], older["actions"][-1]["reason"]) == ("ABORTED", "not yet")
    assert never.line == "trigger gate.checkout.3 does not exist"
    assert "for example gate.new_checkout.1" in garbled.line


async def test_a_region_shows_the_instances_that_follow_it(applied: Cli, broker: Broker) -> None:
    async with following(broker.url, "dev"):

        async def instances() -> list[str]:
            region = (await applied.succeeds("get", "regions", "dev", "--json")).json
            return [instance["instance"] for instance in region["instances"]]

        assert await eventually(instances, "the instance has reported") == ["test-dev"]
        assert "test-dev (at " in (await applied.succeeds("get", "regions")).out


async def test_the_rules_of_a_region_are_shown_as_published(applied: Cli, broker: Broker) -> None:
    async with following(broker.url, "dev") as dev:
        checkout = FeatureKey(FeatureKind.GATE, "checkout")
        await eventually(lambda: len(dev.rules) == 2, "both features are published")

        documents = (await applied.succeeds("get", "rules", "--region", "dev", "--json")).json
        one = (await applied.succeeds("get", "rules", "checkout", "--region", "dev", "--json")).json
        table = (await applied.succeeds("get", "rules", "--region", "dev")).out

        assert sorted(document["name"] for document in documents) == ["checkout", "limits"]
        assert (one["trigger"], one["revision"]) == ("gate.checkout.1", dev.rules.revision(checkout))
        assert "gate.checkout " in table
    assert (await applied.refused("get", "rules", "checkout", "--region", "eu")).line == (
        "region eu has no rules for 'checkout'"
    )
    assert (await applied.refused("get", "rules", "--region", "mars")).line.startswith(
        "unknown region 'mars'"
    )


async def test_an_invalid_message_does_not_hide_its_feature(applied: Cli, driver: Driver) -> None:
    headers = {"ce-type": "sluiceway.feature_changed", "Sluiceway-Status": "COMPLETED"}
    await driver.connection.js.publish("sluiceway.features.gate.checkout", b"garbage", headers=headers)

    gates = (await applied.succeeds("get", "gates", "--json")).json

    assert [(gate["name"], gate["status"]) for gate in gates] == [("checkout", "releasing")]
