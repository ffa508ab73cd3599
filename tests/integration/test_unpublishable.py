"""A version that cannot be published: no region keeps what was taken back, whatever else is broken."""

from typing import Any

import pytest
from nats.js.errors import NotFoundError

from services.evaluator_publisher import metrics
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.commands import (
    AbortTrigger,
    ArchiveFeature,
    RollBackTrigger,
    RollOutTrigger,
    SaveFeature,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import FeatureGate, GateRule, TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import RefusalCode
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.errors import Unavailable
from sluiceway.pipelines.spec_changes import spec_of
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving, following, services
from tests.support.waiting import eventually

LONG_MS = 3_600_000
SOURCE = "/tests/another-scheduler"


def passing(gate: str, *, kind: str = "passes_gate", name: str = "only") -> dict[str, Any]:
    return {"name": name, "conditions": [{"type": kind, "targetValue": gate}]}


async def append(
    driver: Driver, name: str, kind: FeatureKind = FeatureKind.GATE, *rules: dict[str, Any], **state: Any
) -> None:
    """Append what another scheduler would have decided at the same moment, or an older version of it."""
    key = FeatureKey(kind, name)
    tail = await driver.log.tail(key)
    assert tail.logged
    feature = tail.logged.event.feature
    if rules:
        document = FeatureGate(name=name, rules=tuple(GateRule.model_validate(rule) for rule in rules))
        version = feature.versions + 1
        state |= {"base": spec_of(document, version, None), "versions": version}
    event = tail.logged.event.model_copy(
        update={"type": EventType.FEATURE_CHANGED, "command_id": "raced", "feature": feature.changed(**state)}
    )
    await driver.log.append(driver.log.encode(event), tail.sequence)


async def published(driver: Driver, name: str, region: str = "dev") -> RuleDocument | None:
    key = subjects.rule(region, FeatureKey(FeatureKind.GATE, name))
    try:
        message = await driver.connection.js.get_last_msg(subjects.RULES_STREAM, key)
    except NotFoundError:
        return None
    return RuleDocument.model_validate_json(message.data) if message.data else None


async def holds(driver: Driver, name: str, *rules: str, region: str = "dev", version: int = 0) -> None:
    """Wait until a region holds exactly these rules of a gate, from a version."""

    async def look() -> bool:
        document = await published(driver, name, region)
        gate = document.specs.feature_gates.get(name) if document else None
        at_version = gate is not None and version in (0, gate.version)
        return at_version and gate is not None and tuple(rule.name for rule in gate.rules) == rules

    await eventually(look, f"{region} holds {rules} of {name}")


async def test_an_abort_returns_to_the_base_although_a_cycle_was_made_meanwhile(broker: Broker) -> None:
    async with services(broker.url, publishers=2), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        await driver.save_gate("payments", EVERYONE)
        await driver.save_gate("checkout", passing("payments"))
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
        await holds(driver, "checkout", "everyone")
        await append(driver, "payments", FeatureKind.GATE, passing("checkout", name="circle"))

        await driver.act(AbortTrigger, "gate.checkout.1")

        await holds(driver, "checkout", "only")
        await holds(driver, "payments", "everyone", version=1)


async def test_what_made_the_cycle_is_published_once_the_cycle_is_gone(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"))
        await driver.save_gate("payments", EVERYONE)
        await driver.save_gate("checkout", passing("payments"))
        await append(driver, "payments", FeatureKind.GATE, passing("checkout", name="circle"))
        await eventually(lambda: _dead_letter(driver), "the version that is not published is kept")
        await holds(driver, "payments", "everyone")

        await driver.save_gate("checkout", EVERYONE)

        await holds(driver, "payments", "circle")


async def test_a_base_that_is_refused_now_is_replaced_by_the_newest_version_that_is_not(
    broker: Broker,
) -> None:
    bogus = {"name": "bogus", "conditions": [{"type": "email", "operator": "older", "targetValue": "x"}]}
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        await driver.save_gate("checkout", {**EVERYONE, "name": "first"})
        await driver.save_gate("checkout", {**EVERYONE, "name": "second"})
        await append(driver, "checkout", FeatureKind.GATE, bogus)
        await driver.save_gate("checkout", {**EVERYONE, "name": "new"}, releasePipelineID=PIPELINE)
        await holds(driver, "checkout", "new")
        before = metrics.RULES_REFUSED._value.get()

        await driver.act(AbortTrigger, "gate.checkout.1")

        await holds(driver, "checkout", "second")
        assert metrics.RULES_REFUSED._value.get() > before
        reason = await eventually(lambda: _dead_letter(driver), "the event is kept")
        assert "gate.checkout cannot be published" in reason
        assert "'older'" in reason
        assert "published instead: version 2" in reason


async def test_without_a_version_that_can_be_published_a_gate_is_off(broker: Broker) -> None:
    bogus = {"name": "bogus", "conditions": [{"type": "email", "operator": "older", "targetValue": "x"}]}
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
        await append(driver, "checkout", FeatureKind.GATE, bogus)
        async with services(broker.url, schedulers=0), following(broker.url, "dev") as dev:
            await eventually(lambda: dev.passes("checkout"), "dev has the candidate")

            await driver.act(AbortTrigger, "gate.checkout.1")

            await eventually(lambda: not dev.passes("checkout"), "dev is off")
            await holds(driver, "checkout", version=2)


async def test_a_completed_release_that_is_rolled_back_never_stays(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), observeFor="1h")
        await driver.save_gate("payments", {**EVERYONE, "name": "first"})
        await driver.save_gate("checkout", passing("payments"))
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
        await driver.act(RollOutTrigger, "gate.checkout.1")
        await holds(driver, "checkout", "everyone", region="prod-eu")
        await append(driver, "payments", FeatureKind.GATE, passing("checkout", name="circle"))

        await driver.accepted(RollBackTrigger, trigger="gate.checkout.1")

        assert (await driver.trigger("gate.checkout.1")).status is TriggerStatus.ROLLED_BACK
        await holds(driver, "checkout", "only", region="prod-eu")
        await holds(driver, "payments", "first", region="prod-eu")


async def test_a_gate_is_switched_off_although_its_segment_is_missing(broker: Broker) -> None:
    rule = passing("beta", kind="passes_segment")
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"))
        await driver.saved(SaveFeature, feature={"kind": "Segment", "name": "beta", "ids": ["u1"]})
        await driver.save_gate("checkout", rule)
        async with following(broker.url, "dev") as dev:
            await eventually(lambda: dev.passes("checkout"), "dev has both")
            await append(driver, "beta", FeatureKind.SEGMENT, archived=True)
            await eventually(lambda: not dev.passes("checkout"), "a missing reference is false")

            await driver.save_gate("checkout", rule, isEnabled=False)

            assert not (await _base_is_enabled(driver, "checkout"))
            await holds(driver, "checkout", version=2)


async def test_a_segment_that_only_a_rollback_would_need_cannot_be_archived(broker: Broker) -> None:
    segment = {"kind": "Segment", "name": "beta"}
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), observeFor="1h")
        await driver.saved(SaveFeature, feature={**segment, "ids": ["u1"]})
        await driver.save_gate("checkout", passing("beta", kind="passes_segment"))
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
        await driver.act(RollOutTrigger, "gate.checkout.1")

        refusal = await driver.refused(ArchiveFeature, kind="segment", name="beta")
        await driver.save_gate("checkout", EVERYONE, description="nothing to restore any more")

        assert refusal.code is RefusalCode.IN_USE
        assert "the version that a rollback of checkout would restore" in refusal.message
        await driver.accepted(ArchiveFeature, kind="segment", name="beta")


async def _dead_letter(driver: Driver) -> str | None:
    """Return the reason of the newest dead letter of the publisher."""
    try:
        message = await driver.connection.js.get_last_msg(
            subjects.DEAD_LETTERS_STREAM, subjects.dead_letters("evaluator_publisher")
        )
    except NotFoundError:
        return None
    return str((message.headers or {})[envelope.DEAD_REASON])


async def _base_is_enabled(driver: Driver, name: str) -> bool:
    base = (await driver.feature(name)).base
    return base is not None and base.is_enabled


async def test_a_replica_that_is_behind_does_not_say_which_versions_may_return(broker: Broker) -> None:
    key = FeatureKey(FeatureKind.GATE, "checkout")
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        await driver.save_gate("checkout", {**EVERYONE, "name": "first"})
        reply = await driver.save_gate("checkout", EVERYONE)
        assert reply.revision

        found = await driver.log.live_versions(key, reply.revision)

        assert [spec.version for spec in found.specs] == [2, 1]
        with pytest.raises(Unavailable, match="only to"):
            await driver.log.live_versions(key, reply.revision + 1)


async def test_a_stored_pattern_that_would_take_gigabytes_is_replaced_before_it_is_compiled(
    broker: Broker,
) -> None:
    huge = {"type": "email", "operator": "str_matches", "targetValue": "(?:(?:a{1000}){1000}){8}"}
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"))
        await driver.save_gate("checkout", {**EVERYONE, "name": "first"})
        await append(driver, "checkout", FeatureKind.GATE, {"name": "huge", "conditions": [huge]})

        await eventually(lambda: _dead_letter(driver), "the version that is not published is kept")
        await holds(driver, "checkout", "first")
        await driver.save_gate("other", EVERYONE)
        await holds(driver, "other", "everyone")


async def test_rules_that_the_stream_does_not_take_are_replaced_and_stop_nobody(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev"), phase("staging"))
        config = (await driver.connection.js.stream_info(subjects.RULES_STREAM)).config
        await driver.connection.js.update_stream(config, max_msg_size=20_000)
        await driver.save_gate("checkout", EVERYONE)
        await holds(driver, "checkout", "everyone")

        large = {**EVERYONE, "name": "many", "conditions": emails(500)}
        await driver.save_gate("checkout", large)
        await driver.save_gate("small", EVERYONE)

        await holds(driver, "small", "everyone")
        await eventually(
            lambda: next(iter(metrics.SUBSTITUTED_FEATURES.collect())).samples[0].value == 1,
            "the version before it is published instead",
        )
        await holds(driver, "checkout", "everyone", version=1)


def emails(count: int) -> list[dict[str, Any]]:
    return [{"type": "email", "operator": "eq", "targetValue": f"{n}@example.com"} for n in range(count)]
