"""What a phase waits for before it is left: its rules are published, and its regions have applied them."""

import json
from typing import Any

import pytest

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.commands import ApprovePhase, SaveFeature
from sluiceway.contracts.envelope import rfc3339
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import Outcome, RefusalCode, Reply
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, REGIONS, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving, following, services
from tests.support.waiting import eventually


async def report(driver: Driver, region: str, sequence: int, instance: str = "slow") -> None:
    """Say what an instance has applied."""
    text = AppliedReport(region=region, instance=instance, sequence=sequence, time_ms=now_ms()).to_json()
    await driver.connection.js.publish(subjects.applied(region, instance), text)


async def release(driver: Driver, **fields: Any) -> str:
    await apply_catalogue(driver, phase("dev"), phase("staging", review=True), **fields)
    await driver.save_gate("checkout")
    await report(driver, "dev", 1)
    reply = await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


async def held(driver: Driver, trigger: str) -> Trigger:
    async def look() -> Trigger | None:
        found = await driver.trigger(trigger)
        return found if found.held else None

    return await eventually(look, f"{trigger} is held")


async def published_at(driver: Driver, region: str) -> str:
    key = subjects.rule(region, FeatureKey(FeatureKind.GATE, "checkout"))
    message = await driver.connection.js.get_last_msg(subjects.RULES_STREAM, key)
    assert message.time
    return rfc3339(int(message.time.timestamp() * 1_000))


async def test_a_phase_waits_for_every_instance_that_reports(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        async with following(broker.url, "dev"):
            trigger = await release(driver)

            found = await held(driver, trigger)

            since = await published_at(driver, "dev")
            assert found.held == (f"region dev: not applied yet by slow (since {since})",)
            await report(driver, "dev", 1_000)
            await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW)
            types = [logged.event.type for logged in await driver.history("checkout")]
            assert types.count(EventType.PHASE_HELD) == 1, "the hold is written once"


async def test_a_pipeline_may_leave_its_phases_without_confirmation(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        trigger = await release(driver, requireConfirmation=False)

        await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW)


async def test_a_region_where_nobody_reports_holds_nothing(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"), phase("staging", review=True))
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)

        await driver.reaches("gate.checkout.1", TriggerStatus.WAITING_FOR_REVIEW)


async def test_rules_that_arrive_in_time_hold_nothing_in_the_log(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, *(phase(name, bake_ms=0) for name in REGIONS))
        async with following(broker.url, "dev"):
            await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)

            await driver.reaches("gate.checkout.1", TriggerStatus.COMPLETED)
            types = [logged.event.type for logged in await driver.history("checkout")]
            assert EventType.PHASE_HELD not in types


@pytest.mark.parametrize("confirmation", [True, False])
async def test_without_a_publisher_no_phase_is_left(broker: Broker, confirmation: bool) -> None:
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        trigger = await release(driver, requireConfirmation=confirmation)

        found = await held(driver, trigger)

        started_ms = found.current_run.started_ms
        assert started_ms is not None
        since = rfc3339(started_ms)
        assert found.held == (f"region dev: the rules are not published yet (since {since})",)
        async with services(broker.url, schedulers=0, monitors=0):
            await report(driver, "dev", 1_000)
            await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW)
        types = [logged.event.type for logged in await driver.history("checkout")]
        assert types.count(EventType.PHASE_HELD) == 1, "the hold is written once"


async def test_the_last_phase_is_not_completed_without_a_publisher(broker: Broker) -> None:
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"))
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)

        found = await held(driver, "gate.checkout.1")

        assert found.status is TriggerStatus.IN_PROGRESS
        assert (await driver.feature("checkout")).base is None


async def test_the_rules_of_an_earlier_phase_are_not_those_of_this_one(broker: Broker) -> None:
    """A region that holds the candidate for some of its users, when the publisher dies, holds the phase."""
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        await apply_catalogue(driver, SOME, phase("dev", review=True), phase("staging", review=True))
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
        async with services(broker.url, schedulers=0, monitors=0):
            await driver.reaches("gate.checkout.1", TriggerStatus.WAITING_FOR_REVIEW, "dev")
            assert await _is_partly_published(driver)
        await driver.act(ApprovePhase, "gate.checkout.1", phaseID="dev")

        found = await held(driver, "gate.checkout.1")

        assert found.current_run.phase.id == "dev"
        assert found.held[0].startswith("region dev: the rules are not published yet")


PRO = {"type": "custom_field", "field": "tier", "operator": "any", "targetValue": ["pro"]}
#: A phase that covers a part of the users of the region dev.
SOME = {
    **phase("dev"),
    "name": "some",
    "rules": [{"name": "pro", "environments": ["development"], "conditions": [PRO]}],
}


async def save_large(driver: Driver, conditions: int, tag: str = "a", **command: Any) -> Reply:
    """Save a gate whose document has about 140 bytes for each condition, as compactly as JSON can."""
    targets = [f"{tag}{n}" for n in range(conditions)]
    rule = {
        "name": tag,
        "conditions": [{"type": "email", "operator": "eq", "targetValue": target} for target in targets],
    }
    document = {"kind": "FeatureGate", "name": "checkout", "releasePipelineID": PIPELINE, "rules": [rule]}
    text = json.dumps({"actor": "ada", "feature": document, **command}, separators=(",", ":"))
    subject = subjects.command(SaveFeature.verb)
    message = await driver.connection.client.request(subject, text.encode(), timeout=10)
    return Reply.model_validate_json(message.data)


async def test_a_phase_with_a_document_of_almost_the_largest_size_is_left(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, SOME, phase("staging", review=True))
        await save_large(driver, 2_000, atOnce=True)
        reply = await save_large(driver, 2_000, "b")
        assert reply.outcome is Outcome.ACCEPTED, reply.refusal

        await driver.reaches("gate.checkout.1", TriggerStatus.WAITING_FOR_REVIEW)

        assert len(await _document(driver)) > 550_000


async def test_a_release_that_would_be_too_large_is_refused_when_it_is_saved(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, SOME)
        await save_large(driver, 3_000, atOnce=True)

        refusal = (await save_large(driver, 3_000, "b")).refusal
        at_once = await save_large(driver, 3_000, "b", atOnce=True)

        assert refusal
        assert refusal.code is RefusalCode.TOO_LARGE
        assert "at most 400000 are allowed" in refusal.message
        assert at_once.outcome is Outcome.ACCEPTED


async def _document(driver: Driver) -> bytes:
    key = subjects.rule("dev", FeatureKey(FeatureKind.GATE, "checkout"))
    return (await driver.connection.js.get_last_msg(subjects.RULES_STREAM, key, direct=True)).data or b""


async def _is_partly_published(driver: Driver) -> bool:
    return b'"override_rules":{"' in await _document(driver)


async def test_a_report_about_another_region_than_its_subjects_holds_nothing(broker: Broker) -> None:
    """An edge may publish in its own region only; what it writes there may say anything."""
    lie = AppliedReport(region="dev", instance="edge", sequence=1, time_ms=now_ms()).to_json()
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"), phase("staging", review=True))
        await driver.connection.js.publish(subjects.applied("staging", "edge"), lie)

        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)

        await driver.reaches("gate.checkout.1", TriggerStatus.WAITING_FOR_REVIEW)
