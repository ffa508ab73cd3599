"""Ids that somebody else has used before: they keep no release from being rolled back."""

from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import PauseTrigger, RollBackTrigger, UnpauseTrigger, derived_id
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identity import Role
from sluiceway.messaging.command_client import CommandClient
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.consoles import create_api_key
from tests.support.system import EVERYONE, Driver, driving, services

LONG_MS = 3_600_000
FIRING = Alert(name="ErrorsHigh", labels={"gate": "checkout"}, fingerprint="f00d", starts_at=None)


async def released(driver: Driver) -> str:
    await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
    await driver.save_gate("checkout")
    reply = await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


def _ids_of_the_monitor(trigger: str) -> list[str]:
    """Return the ids that it derives, now and in older versions."""
    firing = (FIRING.fingerprint, FIRING.starts_at, trigger)
    return [derived_id("alert", *firing), derived_id("alert", "tests", *firing)]


async def test_an_operator_cannot_use_up_the_id_of_a_roll_back(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        trigger = await released(driver)
        key = await create_api_key(driver, Role.OPERATOR, owner="eve")
        eve = CommandClient(driver.connection, key.split("-")[1])
        phase_id = (await driver.trigger(trigger)).current_run.phase.id
        for id_ in _ids_of_the_monitor(trigger):
            common = {"actor": "eve", "trigger": trigger, "phase_id": phase_id}
            assert (await eve.send(PauseTrigger.model_validate({"id": id_, **common}))).refusal is None
            assert (await eve.send(UnpauseTrigger.model_validate(common))).refusal is None

        await driver.connection.js.publish(subjects.alert("tests"), FIRING.to_json())

        await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)


async def test_a_roll_back_whose_id_an_older_version_remembers_still_takes_the_release_back(
    broker: Broker,
) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        trigger = await released(driver)
        event = (await driver.history("checkout"))[-1].event
        ids = tuple(_ids_of_the_monitor(trigger))
        poisoned = FeatureEvent.model_validate(
            {**event.to_jsonable(), "feature": {**event.feature.to_jsonable(), "recentCommands": ids}}
        )
        tail = await driver.log.tail(event.feature.key)
        await driver.log.append(driver.log.encode(poisoned), tail.sequence)

        await driver.connection.js.publish(subjects.alert("tests"), FIRING.to_json())

        await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
        assert (await driver.refused(RollBackTrigger, trigger=trigger)).code == "trigger_ended"
