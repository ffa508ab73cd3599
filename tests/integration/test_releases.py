"""Releases over a real broker: which region holds what, through phases, races and rollbacks."""

import asyncio
import json
from functools import partial
from pathlib import Path

from nats.js.errors import NotFoundError

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    DeleteRegion,
    RollOutTrigger,
    SaveFeature,
    SaveRegion,
    SkipPhase,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, REGIONS, apply_catalogue, phase, region
from tests.support.system import EVERYONE, Driver, Follower, driving, following, services
from tests.support.waiting import eventually

LONG_MS = 3_600_000
CHECKOUT = FeatureKey(FeatureKind.GATE, "checkout")


async def test_each_phase_gives_the_candidate_to_its_region_and_to_no_other(broker: Broker) -> None:
    phases = [phase(name, bake_ms=LONG_MS, review=name == "prod-us-west") for name in REGIONS]
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, *phases)
        trigger = await _release(driver)
        for count, name in enumerate(REGIONS, start=1):
            if name == "prod-us-west":
                await driver.act(ApprovePhase, trigger)

            await _holding(driver, *list(REGIONS)[:count])
            for uncovered in list(REGIONS)[count:]:
                assert "everyone" not in await _rules(driver, uncovered)
            await driver.act(SkipPhase, trigger)

        assert (await driver.trigger(trigger)).status is TriggerStatus.COMPLETED


async def test_replicas_side_by_side_release_as_one_does(broker: Broker) -> None:
    async with services(broker.url, schedulers=2, publishers=2, monitors=2), driving(broker.url) as driver:
        await apply_catalogue(driver, *(phase(name, bake_ms=20) for name in REGIONS))
        names = [f"gate{n}" for n in range(10)]

        triggers = await asyncio.gather(*(_release(driver, name) for name in names))

        for trigger in triggers:
            await driver.reaches(trigger, TriggerStatus.COMPLETED)
        for name in names:
            types = [logged.event.type for logged in await driver.history(name)]
            assert types == [
                EventType.FEATURE_CHANGED,
                EventType.TRIGGER_STARTED,
                *[EventType.PHASE_ADVANCED] * 4,
                EventType.TRIGGER_COMPLETED,
            ]
            await _holding(driver, *REGIONS, name=name)


async def test_an_alert_takes_the_candidate_back_everywhere_and_it_stays_away(broker: Broker) -> None:
    async with services(broker.url, publishers=2), driving(broker.url) as driver:
        await apply_catalogue(
            driver, phase("dev", bake_ms=0), phase("staging", bake_ms=LONG_MS), phase("prod-eu")
        )
        async with following(broker.url, "dev") as dev, following(broker.url, "prod-eu") as eu:
            trigger = await _release(driver)
            await _holding(driver, "dev", "staging")
            await eventually(lambda: dev.passes("checkout"), "dev follows")

            await driver.alert("CheckoutErrors", gate="checkout", region="staging")

            ended = await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
            await _holding(driver)
            await eventually(lambda: not dev.passes("checkout"), "dev is back on the base")
            assert "CheckoutErrors" in (ended.actions[-1].reason or "")
            assert not eu.passes("checkout")
            assert [change.revision for change in dev.changes] == sorted(
                change.revision for change in dev.changes
            )


async def test_alerts_about_something_else_roll_nothing_back(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("prod-eu"))
        trigger = await _release(driver)

        await driver.alert("OtherGate", gate="another")
        await driver.alert("NotReleasedThere", gate="checkout", region="prod-eu")
        await driver.alert("OtherPipeline", pipeline="another")
        await driver.alert("AboutNothing", severity="critical")
        await driver.connection.js.publish(subjects.alert("a.b"), b"{}")
        await driver.connection.js.publish(
            subjects.alert("tests"),
            json.dumps({"name": "Over", "status": "resolved", "labels": {"gate": "checkout"}}).encode(),
        )

        await eventually(lambda: _alerts_are_done(driver), "every alert is answered")
        assert (await driver.trigger(trigger)).status is TriggerStatus.IN_PROGRESS


async def test_an_alert_waits_for_a_scheduler_that_is_away(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        async with services(broker.url):
            await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
            trigger = await _release(driver)
        async with services(broker.url, schedulers=0):
            await driver.alert("CheckoutErrors", pipeline=PIPELINE)

            async def tried() -> bool:
                info = await driver.connection.js.consumer_info("ALERTS", subjects.MONITOR_DURABLE)
                return bool(info.num_redelivered or info.num_ack_pending)

            await eventually(tried, "the monitor has tried")

        async with services(broker.url):
            await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)


async def test_a_region_added_in_mid_release_receives_what_it_is_due(broker: Broker) -> None:
    async with services(broker.url, publishers=2), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("prod-eu"))
        await _release(driver)

        await driver.accepted(
            SaveRegion, region=region("dev-2", "development") | {"attributes": {"region": "dev"}}
        )
        await driver.accepted(SaveRegion, region=region("prod-asia", "production"))

        await _holding(driver, "dev", "dev-2")
        assert "everyone" not in await _rules(driver, "prod-asia")
        async with following(broker.url, "dev-2") as newcomer:
            assert newcomer.passes("checkout")


async def test_a_region_that_moves_and_one_that_is_deleted_change_at_once(broker: Broker) -> None:
    async with services(broker.url, publishers=2), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
        await _release(driver)
        await _holding(driver, "dev")

        await driver.accepted(SaveRegion, region=region("dev", "staging"))
        await driver.accepted(DeleteRegion, name="prod-eu")

        await _holding(driver)
        await eventually(lambda: _is_empty(driver, "prod-eu"), "prod-eu holds nothing")


async def test_without_confirmation_a_slow_region_converges_and_delays_no_other(broker: Broker) -> None:
    phases = [phase(name, bake_ms=0) for name in REGIONS]
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, *phases, requireConfirmation=False)
        async with following(broker.url, "dev") as dev, following(broker.url, "prod-eu") as slow:
            take, held = slow.rules.apply, []
            slow.rules.apply = lambda *record, **kw: held.append((record, kw))  # type: ignore[method-assign]

            trigger = await _release(driver)
            await driver.reaches(trigger, TriggerStatus.COMPLETED)
            await eventually(lambda: dev.passes("checkout"), "dev has it")
            assert not slow.passes("checkout")
            for record, kw in held:
                take(*record, **kw)

            assert slow.passes("checkout")


async def test_a_partly_covered_region_gives_the_candidate_to_those_users_alone(broker: Broker) -> None:
    pro = phase("dev", bake_ms=LONG_MS)
    pro["rules"][0]["conditions"].append(
        {"type": "custom_field", "field": "tier", "operator": "any", "targetValue": ["Pro"]}
    )
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, pro)
        async with following(broker.url, "dev") as dev:
            await _release(driver)

            await eventually(lambda: dev.passes("checkout", {"custom": {"tier": "pro"}}), "Pro users have it")
            assert not dev.passes("checkout", {"custom": {"tier": "Free"}})
            assert dev.rules.gate({"custom": {"tier": "Free"}}, "checkout").trigger is None
            assert dev.rules.gate({"custom": {"tier": "Pro"}}, "checkout").trigger == "gate.checkout.1"


async def test_a_region_keeps_its_rules_while_the_broker_is_away_and_across_its_own_restart(
    broker: Broker, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
        trigger = await _release(driver)
        async with following(broker.url, "dev", cache) as dev:
            await eventually(lambda: dev.passes("checkout"), "dev has it")
            broker.kill()

            assert dev.passes("checkout")
        restarted = Follower("dev", cache)
        assert restarted.passes("checkout")
        restarted.rules.close()
        broker.start()
        async with following(broker.url, "dev", cache) as dev:
            await eventually(lambda: driver.answered(AbortTrigger, trigger=trigger), "the abort is answered")
            await eventually(lambda: not dev.passes("checkout"), "dev follows again")


async def test_following_goes_on_after_each_restart_of_the_broker(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        async with following(broker.url, "dev") as dev:
            for n in range(3):
                broker.kill()
                broker.start()
                gate = f"gate{n}"

                await eventually(partial(_saves, driver, gate), "a command is answered again")

                await eventually(partial(dev.passes, gate), "dev follows")


async def test_what_somebody_else_wrote_into_the_rules_is_put_right(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        async with following(broker.url, "dev") as dev:
            await driver.save_gate("checkout", EVERYONE)
            await eventually(lambda: dev.passes("checkout"), "dev has it")
            place = subjects.rule("dev", CHECKOUT)

            await driver.connection.js.publish(place, b"nonsense")

            async def mended() -> bool:
                message = await driver.connection.js.get_last_msg(subjects.RULES_STREAM, place)
                return message.data != b"nonsense"

            await eventually(mended, "the rules are right again")
            assert dev.passes("checkout")


async def test_a_full_rollout_reaches_every_region(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging", review=True))
        trigger = await _release(driver)

        await driver.act(RollOutTrigger, trigger)

        await _holding(driver, *REGIONS)


async def _release(driver: Driver, name: str = "checkout") -> str:
    await driver.save_gate(name)
    reply = await driver.save_gate(name, EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


async def _holding(driver: Driver, *regions: str, name: str = "checkout") -> None:
    """Wait until exactly these regions hold the rule of the candidate."""
    everywhere = [n.split(".")[-1] for n in await _region_names(driver)]

    async def look() -> bool:
        held = {region for region in everywhere if "everyone" in await _rules(driver, region, name)}
        return held == set(regions)

    await eventually(look, f"exactly {regions} hold the candidate of {name}")


async def _region_names(driver: Driver) -> list[str]:
    info = await driver.connection.js.stream_info(
        subjects.CATALOG_STREAM, subjects_filter=subjects.catalogue("region", "*")
    )
    return list(info.state.subjects or {})


async def _rules(driver: Driver, region_name: str, name: str = "checkout") -> str:
    """Return the rules published for a region as text; empty where there are none."""
    try:
        message = await driver.connection.js.get_last_msg(
            subjects.RULES_STREAM, subjects.rule(region_name, FeatureKey(FeatureKind.GATE, name))
        )
    except NotFoundError:
        return ""
    return (message.data or b"").decode()


async def _is_empty(driver: Driver, region_name: str) -> bool:
    return not await _rules(driver, region_name)


async def _alerts_are_done(driver: Driver) -> bool:
    info = await driver.connection.js.consumer_info("ALERTS", subjects.MONITOR_DURABLE)
    return not info.num_pending and not info.num_ack_pending


async def _saves(driver: Driver, name: str) -> bool:
    document = {"kind": "FeatureGate", "name": name, "rules": [EVERYONE]}
    return await driver.answered(SaveFeature, feature=document)
