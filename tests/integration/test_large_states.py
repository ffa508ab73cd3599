"""States that hardly fit into a message: every command is answered, and no connection is lost."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import pytest

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Environment
from sluiceway.contracts.commands import (
    AbortTrigger,
    ArchiveFeature,
    ExtendBake,
    PauseTrigger,
    SaveEnvironment,
    SaveFeature,
    SkipPhase,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import DynamicConfig, Feature, Spec, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.pipeline import Phase, Pipeline
from sluiceway.contracts.replies import RefusalCode, Reply
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.message_size import header_bytes
from sluiceway.messaging.publishing import StreamPublisher
from sluiceway.messaging.streams import declare
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue
from tests.support.brokers import Broker, broker_with_limit, set_limit
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.processes import service_process
from tests.support.system import Driver, driving, services
from tests.support.waiting import eventually

LIMIT = 2**20
LONG_MS = 3_600_000
TRIGGER = "dynamic_config.large.1"
SOURCE = "/tests"


def a_feature(size: int) -> Feature:
    """Return a config whose value has so many bytes."""
    spec = Spec(version=1, is_enabled=True, id_type="userID", default_value={"text": "x" * size}, rules=())
    return Feature(kind=FeatureKind.DYNAMIC_CONFIG, name="large", salt="large", base=spec, versions=1)


def an_event(size: int) -> FeatureEvent:
    event = FeatureEvent(
        type=EventType.FEATURE_CHANGED, time_ms=1, actor_id="ada", command_id="old", feature=a_feature(0)
    )
    missing = size - message_bytes(event)
    return event.model_copy(update={"feature": a_feature(missing)})


def message_bytes(event: FeatureEvent) -> int:
    """Return the bytes of the message with which an older version stored an event: with all fields."""
    return event.full_size + header_bytes(headers_of(event, SOURCE))


async def store(driver: Driver, event: FeatureEvent) -> None:
    """Append an event as an older version might have stored it."""
    key = event.feature.key
    publisher = StreamPublisher(driver.connection, subjects.FEATURES_STREAM)
    await publisher.publish(
        subjects.feature(key), event.model_dump_json().encode(), headers_of(event, SOURCE)
    )


def a_release(size: int, *, now_ms: int, bake_ms: int = LONG_MS) -> FeatureEvent:
    """Return the event of a release that started now, as a message of so many bytes."""
    names = ("development", "staging", "production")
    phases = [Phase.model_validate(phase(name, bake_ms=bake_ms)) for name in ("dev", "staging")]
    catalogue = replace(
        Catalogue(pipelines={PIPELINE: Pipeline(id=PIPELINE, name=PIPELINE, phases=tuple(phases))}),
        environments={name: Environment(name=name) for name in names},
    )
    document = DynamicConfig(name="large", default_value={"text": "new"}, release_pipeline_id=PIPELINE)
    command = SaveFeature(actor="ada", feature=document)
    event = decide(a_feature(0), command, now_ms, catalogue)
    assert isinstance(event, FeatureEvent)
    missing = size - message_bytes(event)
    half = {"text": "x" * (missing // 2)}
    base, candidate = event.feature.base, event.feature.candidate
    assert base
    assert candidate
    feature = event.feature.changed(
        base=base.model_copy(update={"default_value": {"text": "x" * (missing - missing // 2)}}),
        candidate=candidate.model_copy(update={"default_value": {"text": "new" + half["text"]}}),
    )
    return event.model_copy(update={"feature": feature})


async def test_a_reply_that_is_too_large_leaves_out_the_state(tmp_path: Path) -> None:
    with broker_with_limit(tmp_path, 2**18) as broker:
        async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
            for number in range(10):
                await driver.accepted(SaveEnvironment, environment={"name": f"{number}" * 100})
            await store(driver, an_event(2**18))
            rule = {"name": "a", "environments": ["none"], "returnValue": {}}
            document = {"kind": "DynamicConfig", "name": "large", "rules": [rule]}

            reply = await driver.send(SaveFeature, feature=document)
            after = await driver.save_gate("small")

    assert reply.refusal
    assert reply.refusal.code is RefusalCode.INVALID
    assert reply.feature is None
    assert "the reply leaves out the state of the feature" in (reply.message or "")
    assert after.feature


@pytest.mark.parametrize("size", [60_000, 600_000])
async def test_a_sender_whose_own_headers_are_large_is_answered_and_harms_nobody(
    broker: Broker, size: int
) -> None:
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        client = driver.connection.client
        sender = await nats.connect(broker.url)
        command = AbortTrigger(actor="ada", trigger=TRIGGER)

        answers = [
            await sender.request(
                subjects.command(verb), command.to_json(), timeout=5, headers={"correlation_id": "x" * size}
            )
            for verb in ("abort", "abort_all")
        ]
        await driver.save_gate("small")
        await sender.close()

        assert all(Reply.model_validate_json(answer.data).refusal for answer in answers)
        assert client.stats["reconnects"] == 0


async def test_a_command_that_is_larger_than_any_message_is_refused_with_numbers(broker: Broker) -> None:
    async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
        document = {"kind": "DynamicConfig", "name": "huge", "defaultValue": {"text": "x" * 2**21}}

        refusal = await driver.refused(SaveFeature, feature=document)
        await driver.save_gate("small")

        assert refusal.code is RefusalCode.TOO_LARGE
        assert "at most 262144 are allowed" in refusal.message
        assert driver.connection.client.stats["reconnects"] == 0


@pytest.mark.parametrize("room", [0, 100, 5_000])
async def test_a_release_of_an_older_version_without_room_is_rolled_back_by_an_alert(
    broker: Broker, room: int
) -> None:
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        await store(driver, a_release(LIMIT - room, now_ms=now_ms()))

        await driver.alert("Errors", dynamic_config="large", text="x" * 40_000)
        trigger = await driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)
        await driver.save_gate("small")

        feature = await driver.feature("large", FeatureKind.DYNAMIC_CONFIG)
        assert feature.candidate is None
        assert trigger.actions[-1].actor_id == "monitor"


async def test_processes_obey_every_command_to_a_state_without_room(broker: Broker, tmp_path: Path) -> None:
    async with driving(broker.url) as driver:
        async with services(broker.url, publishers=0, monitors=0):
            await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        await store(driver, a_release(LIMIT, now_ms=now_ms()))
        async with (
            service_process(tmp_path, "services.scheduler", broker.url) as scheduler,
            service_process(tmp_path, "services.monitor", broker.url) as monitor,
        ):
            await eventually(scheduler.is_ready, "the scheduler is ready")
            await eventually(monitor.is_ready, "the monitor is ready")

            for model in (PauseTrigger, UnpauseTrigger, ExtendBake, SkipPhase):
                await driver.act(model, TRIGGER, reason="x" * 2_000)
            await driver.alert("Errors", dynamic_config="large", text="x" * 60_000)
            await driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)
            await driver.accepted(ArchiveFeature, kind="dynamic_config", name="large", reason="x" * 2_000)
            await driver.save_gate("small")

            assert (scheduler.process.returncode, monitor.process.returncode) == (None, None)
        history = await driver.log.read_history(FeatureKey(FeatureKind.DYNAMIC_CONFIG, "large"))

    assert any("ends of reasons" in event.left_out for _, event in history)
    sizes = [len(event.to_json()) + header_bytes(headers_of(event, SOURCE)) for _, event in history]
    assert all(size <= LIMIT for size in sizes)


async def test_an_editors_largest_command_and_all_that_follow_are_answered(broker: Broker) -> None:
    async with services(broker.url, publishers=0, monitors=0), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))

        answers = [
            await driver.send(SaveFeature, feature=expanding(count)) for count in range(1_000, 14_000, 1_000)
        ]
        stored = await driver.accepted(SaveFeature, feature=expanding(900, 50, releasePipelineID=PIPELINE))
        aborted = await driver.send(AbortTrigger, trigger="gate.expanding.1", reason="x" * 2_000)

    refusals = [answer.refusal for answer in answers]
    assert {refusal.code for refusal in refusals if refusal} == {RefusalCode.TOO_LARGE}
    assert refusals[0] is None
    assert stored.feature
    assert aborted.refusal is None


async def test_a_due_phase_without_room_is_left_when_the_scheduler_starts(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        await declare(driver.connection.js, replicas=1)
        async with services(broker.url, publishers=0, monitors=0):
            await apply_catalogue(driver, phase("dev", bake_ms=0), phase("staging"))
        event = a_release(LIMIT - 10, now_ms=now_ms() - 60_000, bake_ms=1)
        await store(driver, event)

        async with services(broker.url):
            await driver.reaches(TRIGGER, TriggerStatus.COMPLETED)
            await driver.save_gate("small")


async def test_a_step_that_no_message_can_hold_stops_nobody_and_is_not_tried_at_full_speed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with broker_with_limit(tmp_path, 2**20) as broker:
        async with driving(broker.url) as driver:
            async with services(broker.url, publishers=0, monitors=0):
                await apply_catalogue(driver, phase("dev", bake_ms=0), phase("staging"))
            await store(driver, a_release(LIMIT, now_ms=now_ms() - 60_000, bake_ms=1))
            broker.stop()
            set_limit(tmp_path, 2**18)
            broker.start()

            async with services(broker.url):
                await eventually(lambda: "stays in its phase" in caplog.text, "the step is refused")
                for number in range(20):
                    await driver.save_gate(f"small{number}")

            assert caplog.text.count("stays in its phase") == 1
            assert "the broker takes messages of 262144 bytes (max_payload)" in caplog.text
            assert (await driver.trigger(TRIGGER)).status is TriggerStatus.IN_PROGRESS


def expanding(conditions: int, percentage: int = 100, **fields: Any) -> dict[str, Any]:
    """Return a gate whose state has about four times the bytes of the command."""
    rule = {"name": "a", "passPercentage": percentage, "conditions": [{"type": "public"}] * conditions}
    return {"kind": "FeatureGate", "name": "expanding", "rules": [rule], **fields}
