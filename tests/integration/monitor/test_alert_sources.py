"""Alerts that are outside the scope of their source."""

import pytest

from services.monitor.app import Monitor
from services.monitor.settings import Settings
from sluiceway.contracts.alerts import AnsweredAlert
from sluiceway.contracts.commands import DeleteAlertSource, DeletePipeline, SaveAlertSource
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.replies import RefusalCode
from sluiceway.messaging.measurement_store import MeasurementStore
from tests.integration.monitor.test_command_ids import released
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE
from tests.support.cli.calls import Cli
from tests.support.system import Driver, driving, services
from tests.support.waiting import eventually


async def answered(driver: Driver, count: int) -> list[AnsweredAlert]:
    store = MeasurementStore(driver.connection, "/tests")

    async def look() -> list[AnsweredAlert] | None:
        alerts = await store.answered_alerts()
        return alerts if len(alerts) == count else None

    return await eventually(look, f"{count} alerts are answered")


async def test_an_alert_outside_the_scope_of_its_source_rolls_nothing_back(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        trigger = await released(driver)
        await driver.accepted(SaveAlertSource, source={"name": "search", "features": ["gate.search"]})
        await driver.accepted(SaveAlertSource, source={"name": "eu", "regions": ["prod-eu"]})
        await driver.accepted(SaveAlertSource, source={"name": "checkout", "pipelines": [PIPELINE]})

        await driver.alert("Boom", "search", gate="checkout")
        await driver.alert("Boom", "eu", gate="checkout", region="dev")
        await driver.alert("Boom", "search", gate="other")

        outcomes = {(a.source, a.outcome, a.triggers_out_of_scope) for a in await answered(driver, 3)}
        assert outcomes == {
            ("search", "out_of_scope", (trigger,)),
            ("eu", "out_of_scope", (trigger,)),
            ("search", "unmatched", ()),
        }
        assert (await driver.trigger(trigger)).status is TriggerStatus.IN_PROGRESS
        assert f"out_of_scope {trigger}" in (await Cli(broker.url).succeeds("alert", "list")).out
        await driver.alert("Boom", "checkout", gate="checkout")
        await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)


async def test_where_sources_are_required_one_without_a_scope_rolls_nothing_back(broker: Broker) -> None:
    strict = Monitor(Settings(nats_url=broker.url, require_alert_sources=True))
    async with services(broker.url, monitors=0), driving(broker.url) as driver, strict:
        trigger = await released(driver)

        await driver.alert("Boom", "pager", gate="checkout")
        (alert,) = await answered(driver, 1)
        await driver.accepted(SaveAlertSource, source={"name": "pager"})
        await driver.alert("Boom", "pager", gate="checkout")

        assert alert.outcome == "out_of_scope"
        await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)


async def test_a_scope_names_only_what_exists(broker: Broker) -> None:
    async with services(broker.url, monitors=0), driving(broker.url) as driver:
        await released(driver)
        await driver.accepted(SaveAlertSource, source={"name": "ci", "pipelines": [PIPELINE]})

        unknown = await driver.refused(SaveAlertSource, source={"name": "ci", "pipelines": ["relaese"]})
        mars = await driver.refused(SaveAlertSource, source={"name": "ci", "regions": ["mars"]})
        missing = await driver.refused(DeleteAlertSource, name="pager")
        used = await driver.refused(DeletePipeline, pipelineID=PIPELINE)

        assert unknown.message == "alert source ci: unknown pipeline 'relaese' (known: prod-release)"
        assert mars.code is RefusalCode.UNKNOWN_REGION
        assert missing.code is RefusalCode.UNKNOWN_ALERT_SOURCE
        assert used.code is RefusalCode.IN_USE


async def test_a_scope_is_applied_shown_and_deleted_on_the_command_line(broker: Broker) -> None:
    async with services(broker.url, monitors=0), driving(broker.url) as driver:
        await released(driver)
        cli = Cli(broker.url)
        document = "{kind: AlertSource, name: ci, features: [gate.checkout], regions: [dev]}"

        preview = await cli.succeeds("apply", "-f", "-", "--dry-run", stdin=document)
        applied = await cli.succeeds("apply", "-f", "-", stdin=document)
        shown = await cli.succeeds("get", "alert-sources")
        await cli.succeeds("alert-source", "delete", "ci")

        assert "alert source ci: would be created" in preview.out
        assert "alert source ci: created" in applied.out
        assert "gate.checkout" in shown.out
        assert "ci" not in (await cli.succeeds("get", "alert-sources", "--json")).out


async def test_a_flood_of_alerts_outside_a_scope_is_not_logged_one_by_one(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        trigger = await released(driver)
        await driver.accepted(SaveAlertSource, source={"name": "sly", "features": ["gate.search"]})

        for _ in range(30):
            await driver.alert("Boom", "sly", gate="checkout")
            await driver.alert("Boom", "sly", gate="other")
        await answered(driver, 60)

        lines = [record for record in caplog.records if record.getMessage().startswith("alert Boom from sly")]
        assert [record.levelname for record in lines if record.levelname != "INFO"] == ["WARNING"]
        assert len(lines) <= 2
        assert (await driver.trigger(trigger)).status is TriggerStatus.IN_PROGRESS
