"""Commands over a real broker: one write wins, nothing is applied twice, nothing invalid does harm."""

import asyncio
import json
import re

import pytest

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.commands import (
    COMMAND_MAX_BYTES,
    AbortTrigger,
    ApprovePhase,
    ArchiveFeature,
    DeletePipeline,
    PauseTrigger,
    RollOutTrigger,
    SaveFeature,
    SavePipeline,
    SkipPhase,
    UnpauseTrigger,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.replies import Outcome, RefusalCode, Reply
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase, pipeline
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

LONG_MS = 3_600_000
#: Over when the services run again.
BAKE_MS = 3_000


async def test_of_many_conflicting_commands_exactly_one_is_applied(broker: Broker) -> None:
    async with services(broker.url, schedulers=2), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        trigger = await _release(driver, "checkout")

        replies = await asyncio.gather(
            *(driver.send(SkipPhase, trigger=trigger, phaseID="dev", actor=f"person-{n}") for n in range(20))
        )

        outcomes = [reply.outcome for reply in replies]
        assert outcomes.count(Outcome.ACCEPTED) == 1
        codes = {reply.refusal.code for reply in replies if reply.refusal}
        assert codes <= {RefusalCode.STALE_PHASE, RefusalCode.TRIGGER_ENDED}
        events = [logged.event.type for logged in await driver.history("checkout")]
        assert events.count(EventType.PHASE_SKIPPED) == 1


async def test_two_first_saves_at_once_start_one_trigger(broker: Broker) -> None:
    async with services(broker.url, schedulers=2), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
        document = {
            "kind": "FeatureGate",
            "name": "checkout",
            "rules": [EVERYONE],
            "releasePipelineID": PIPELINE,
        }

        replies = await asyncio.gather(
            *(driver.send(SaveFeature, feature={**document, "description": str(n)}) for n in range(10))
        )

        assert [reply.outcome for reply in replies].count(Outcome.ACCEPTED) == 1
        assert {reply.refusal.code for reply in replies if reply.refusal} == {RefusalCode.TRIGGER_ACTIVE}
        assert (await driver.feature("checkout")).runs == 1


async def test_a_command_sent_twice_is_answered_twice_and_applied_once(broker: Broker) -> None:
    async with services(broker.url, schedulers=2), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
        trigger = await _release(driver, "checkout")
        pause = {"trigger": trigger, "phaseID": "dev", "id": "pause-1"}

        first = await driver.send(PauseTrigger, **pause)
        await driver.accepted(UnpauseTrigger, trigger=trigger, phaseID="dev")
        second = await driver.send(PauseTrigger, **pause)

        assert (first.outcome, second.outcome) == (Outcome.ACCEPTED, Outcome.UNCHANGED)
        assert (await driver.trigger(trigger)).status is TriggerStatus.IN_PROGRESS


async def test_a_refusal_says_what_the_state_is_and_what_is_possible(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS, review=True))
        trigger = await _release(driver, "checkout")

        refusal = await driver.refused(PauseTrigger, trigger=trigger, phaseID="dev")

        assert refusal.code is RefusalCode.NOT_POSSIBLE
        assert "WAITING_FOR_REVIEW" in refusal.message
        assert refusal.possible == ("approve", "skip", "abort", "roll_out")


async def test_a_pipeline_in_use_refuses_edits_until_its_triggers_have_ended(broker: Broker) -> None:
    async with services(broker.url, schedulers=2), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
        trigger = await _release(driver, "checkout")
        edited = pipeline(phase("staging"))

        while_running = await driver.refused(SavePipeline, pipeline=edited)
        await driver.act(AbortTrigger, trigger)
        afterwards = await driver.send(SavePipeline, pipeline=edited)
        attached = await driver.refused(DeletePipeline, pipelineID=PIPELINE)

        assert while_running.code is RefusalCode.IN_USE
        assert "gate.checkout" in while_running.message
        assert afterwards.outcome is Outcome.ACCEPTED
        assert attached.code is RefusalCode.IN_USE


async def test_a_change_without_effect_changes_nothing_and_says_so(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await driver.save_gate("checkout", EVERYONE)
        document = {"kind": "FeatureGate", "name": "checkout", "rules": [EVERYONE]}

        reply = await driver.send(SaveFeature, feature=document)

        assert reply.outcome is Outcome.UNCHANGED
        assert "no effective change" in (reply.message or "")
        assert len(await driver.history("checkout")) == 1


async def test_every_event_is_a_cloud_event_with_its_actor_and_reason(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
        trigger = await _release(driver, "checkout")
        await driver.act(AbortTrigger, trigger, actor="grace", reason="wrong week", id="abort-1")

        message = await driver.connection.js.get_last_msg("FEATURES", "sluiceway.features.gate.checkout")

        headers = message.headers or {}
        assert headers[envelope.CE_SPECVERSION] == "1.0"
        assert headers[envelope.CE_TYPE] == "sluiceway.trigger_aborted"
        event = (await driver.history("checkout"))[-1].event
        assert event.command_id == "abort-1"
        assert re.fullmatch("event-[0-9a-f]{32}", headers[envelope.CE_ID])
        assert (event.actor_id, event.reason) == ("grace", "wrong week")
        action = (await driver.trigger(trigger)).actions[-1]
        assert (action.actor_id, action.reason, action.phase_id) == ("grace", "wrong week", "dev")


INVALID = {
    "no JSON": ("abort", b"{oops", RefusalCode.INVALID),
    "no object": ("abort", b"[]", RefusalCode.INVALID),
    "nothing": ("abort", b"", RefusalCode.INVALID),
    "a name with a dot": (
        "save_feature",
        json.dumps({"actor": "a", "feature": {"kind": "FeatureGate", "name": "a.b"}}).encode(),
        RefusalCode.INVALID,
    ),
    "a name with a wildcard": (
        "save_region",
        json.dumps({"actor": "a", "region": {"name": "*", "environment": "x"}}).encode(),
        RefusalCode.INVALID,
    ),
    "a field that does not exist": (
        "abort",
        json.dumps({"actor": "a", "trigger": "gate.x.1", "phaze": "dev"}).encode(),
        RefusalCode.INVALID,
    ),
    "a number beyond its range": (
        "save_pipeline",
        json.dumps({"actor": "a", "pipeline": pipeline(phase("dev", bake_ms=-1))}).encode(),
        RefusalCode.INVALID,
    ),
    "too many bytes": ("abort", b"x" * (COMMAND_MAX_BYTES + 1), RefusalCode.TOO_LARGE),
    "a verb that does not exist": ("destroy", b"{}", RefusalCode.UNKNOWN_COMMAND),
    "a verb of three tokens": ("abort.all.now", b"{}", RefusalCode.UNKNOWN_COMMAND),
}


@pytest.mark.parametrize(("verb", "data", "code"), INVALID.values(), ids=INVALID)
async def test_an_invalid_command_is_refused_and_kept_with_its_reason(
    broker: Broker, verb: str, data: bytes, code: RefusalCode
) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        subject = subjects.command(verb)

        answer = await driver.connection.client.request(subject, data, timeout=5)

        refusal = Reply.model_validate_json(answer.data).refusal
        assert refusal
        assert refusal.code is code
        letter = await driver.connection.js.get_last_msg(
            subjects.DEAD_LETTERS_STREAM, subjects.dead_letters("scheduler")
        )
        assert (letter.headers or {})[envelope.DEAD_SUBJECT] == subject
        assert (letter.headers or {})[envelope.DEAD_REASON]
        assert (letter.data or b"") == data[: len(letter.data or b"")]
        await driver.save_gate("still_working", EVERYONE)


async def test_garbage_in_a_features_log_is_passed_over_and_kept(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        async with services(broker.url):
            await driver.save_gate("checkout")
            for garbage in (b"garbage", b"{}"):
                await driver.connection.js.publish("sluiceway.features.gate.checkout", garbage)
            await driver.connection.js.publish("sluiceway.features.gate.nothing", b"garbage")
            await driver.save_gate("checkout", EVERYONE)

        async with services(broker.url):
            await driver.connection.js.publish("sluiceway.features.gate.checkout", b"more")
            await driver.save_gate("checkout", description="after the garbage")
            await driver.save_gate("nothing", EVERYONE)

        assert [len(await driver.history(name)) for name in ("checkout", "nothing")] == [3, 1]

        async def kept() -> bool:
            return (await driver.connection.js.stream_info("DEAD_LETTERS")).state.messages >= 4

        await eventually(kept, "all garbage is kept")


async def test_an_invalid_body_with_valid_headers_hides_nothing_after_a_restart(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        async with services(broker.url):
            await apply_catalogue(driver, phase("dev", bake_ms=BAKE_MS), phase("staging", bake_ms=LONG_MS))
            aborted, alerted, due = [await _release(driver, name) for name in ("aborted", "alerted", "due")]
        for name in ("aborted", "alerted", "due"):
            await driver.store_invalid_body(name)

        async with services(broker.url):
            await driver.act(AbortTrigger, aborted)
            await driver.alert("Bad", gate="alerted")

            await driver.reaches(aborted, TriggerStatus.ABORTED)
            await driver.reaches(alerted, TriggerStatus.ROLLED_BACK)
            await driver.reaches(due, TriggerStatus.IN_PROGRESS, "staging")


async def test_an_archived_feature_leaves_every_region_and_can_come_back(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
        trigger = await _release(driver, "checkout")
        archive = {"kind": "gate", "name": "checkout"}

        while_active = await driver.refused(ArchiveFeature, **archive)
        await driver.act(RollOutTrigger, trigger)
        await driver.accepted(ArchiveFeature, **archive)
        again = await driver.send(ArchiveFeature, **archive)
        await driver.save_gate("checkout", EVERYONE)

        assert while_active.code is RefusalCode.TRIGGER_ACTIVE
        assert again.outcome is Outcome.UNCHANGED
        assert not (await driver.feature("checkout")).archived


async def test_approving_starts_the_bake(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=0, review=True), phase("staging", review=True))
        trigger = await _release(driver, "checkout")

        await driver.act(ApprovePhase, trigger)

        waiting = await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW, "staging")
        assert waiting.phases[0].started_ms
        assert not waiting.phases[1].started_ms


async def _release(driver: Driver, name: str) -> str:
    """Start the release of a gate that is off until then; return its trigger's id."""
    await driver.save_gate(name)
    reply = await driver.save_gate(name, EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id
