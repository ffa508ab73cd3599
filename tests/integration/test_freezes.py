"""Freezes over a real broker: what is due waits, what was answered is obeyed, what is overridden is told."""

import itertools
from dataclasses import replace
from typing import Any

from prometheus_client import REGISTRY

from services.scheduler.command_processor import CommandProcessor
from services.scheduler.side_thread import SideThread
from sluiceway.contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    DeleteFreeze,
    DeleteRegion,
    SaveFeature,
    SaveFreeze,
    SkipPhase,
)
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import Trigger, TriggerStatus
from sluiceway.contracts.replies import Outcome, RefusalCode
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.streams import declare
from sluiceway.pipelines.decision import Catalogue
from tests.support.brokers import Broker
from tests.support.builders import NOW, a_catalogue, a_freeze, a_gate, a_phase, a_pipeline
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

LONG_MS = 3_600_000
ALWAYS = {"from": "1970-01-01T00:00:00Z", "to": "2970-01-01T00:00:00Z"}


def freeze(**fields: Any) -> dict[str, Any]:
    return {"name": "quiet", **ALWAYS, **fields}


async def test_a_due_phase_is_held_while_a_freeze_is_on_and_goes_on_after_it_is_deleted(
    broker: Broker,
) -> None:
    async with services(broker.url, schedulers=2), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=20), phase("staging", bake_ms=LONG_MS))
        await driver.accepted(SaveFreeze, freeze=freeze(environments=["staging"]))

        trigger = await _release(driver)
        held = await eventually(lambda: _held(driver, trigger), "the phase is held")
        await eventually(lambda: REGISTRY.get_sample_value("sluiceway_held_triggers") == 1, "it is counted")
        assert REGISTRY.get_sample_value("sluiceway_phase_overdue_seconds") == 0, "frozen is not late"
        await driver.accepted(DeleteFreeze, name="quiet")
        await driver.reaches(trigger, TriggerStatus.IN_PROGRESS, "staging")

        assert held.held == ("freeze quiet (1970-01-01 00:00 to 2970-01-01 00:00 UTC)",)
        assert held.current_run.phase.id == "dev"
        assert await _events(driver) == [
            EventType.FEATURE_CHANGED,
            EventType.TRIGGER_STARTED,
            EventType.PHASE_HELD,
            EventType.PHASE_ADVANCED,
        ]


class LateCatalogue(CatalogueView):
    """A replica's catalogue that hears of what is new only once it looks."""

    def __init__(self, known: Catalogue) -> None:
        self.newest = self._known = known

    async def catch_up(self) -> None:
        self._known = self.newest

    async def has_changed(self) -> bool:
        known = self._known
        await self.catch_up()
        return self._known is not known

    def catalogue(self) -> Catalogue:
        return self._known


async def test_a_replica_obeys_a_freeze_that_another_one_has_answered(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        await declare(driver.connection.js, 1)
        known = a_catalogue(a_pipeline(a_phase("dev", review=True, bake_ms=0), a_phase("prod")))
        frozen = replace(known, freezes={"quiet": a_freeze()})
        late, now = LateCatalogue(known), itertools.count(NOW)
        features = DecisionView(driver.connection, driver.log)
        decisions = CommandProcessor(driver.log, features, late, lambda: next(now), SideThread())
        async with features:
            gate = a_gate(EVERYONE, releasePipelineID="release")
            started = await decisions.process(SaveFeature(actor="ada", feature=gate))
            dev = {"actor": "ada", "trigger": "gate.checkout.1", "phase_id": "dev"}

            late.newest = frozen
            refused = await decisions.process(ApprovePhase(**dev))
            late.newest = known
            approved = await decisions.process(ApprovePhase(**dev))
            late.newest = frozen
            held = await decisions.process(AdvancePhase(**dev))
            late.newest = known
            still = await decisions.process(AdvancePhase(**dev))

        assert started.outcome is approved.outcome is Outcome.ACCEPTED
        assert refused.refusal
        assert refused.refusal.code is RefusalCode.FROZEN
        assert held.feature
        assert held.feature.trigger
        assert held.feature.trigger.held
        assert still.outcome is Outcome.UNCHANGED, "what is held waits until it hears of the end"


async def test_who_overrides_a_freeze_stands_in_the_log_with_the_reason(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging", bake_ms=LONG_MS))
        trigger = await _release(driver)
        await driver.accepted(SaveFreeze, freeze=freeze())
        skip = {"trigger": trigger, "phaseID": "dev"}

        frozen = await driver.refused(SkipPhase, **skip)
        unsaid = await driver.refused(SkipPhase, **skip, overrideFreeze=True)
        await driver.accepted(SkipPhase, **skip, overrideFreeze=True, reason="hotfix")

        assert (frozen.code, unsaid.code) == (RefusalCode.FROZEN, RefusalCode.INVALID)
        event = (await driver.history("checkout"))[-1].event
        assert (event.type, event.actor_id) == (EventType.PHASE_SKIPPED, "ada")
        assert (event.overrode, event.reason) == (("quiet",), "hotfix")
        assert (await driver.trigger(trigger)).actions[-1].overrode == ("quiet",)


async def test_a_frozen_release_is_aborted_or_taken_back_by_an_alert_all_the_same(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        triggers = [await _release(driver, name) for name in ("checkout", "search")]
        await driver.accepted(SaveFreeze, freeze=freeze())

        await driver.act(AbortTrigger, triggers[0])
        await driver.alert("Boom", gate="search")

        await driver.reaches(triggers[0], TriggerStatus.ABORTED)
        await driver.reaches(triggers[1], TriggerStatus.ROLLED_BACK)


async def test_a_freeze_outlives_its_scheduler_and_keeps_what_it_names(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        async with services(broker.url):
            await apply_catalogue(driver, phase("dev", review=True), phase("staging"))
            await driver.accepted(SaveFreeze, freeze=freeze(regions=["dev"]))
        async with services(broker.url):
            trigger = await _release(driver)

            frozen = await driver.refused(ApprovePhase, trigger=trigger, phaseID="dev")
            in_use = await driver.refused(DeleteRegion, name="dev")

        assert (frozen.code, in_use.code) == (RefusalCode.FROZEN, RefusalCode.IN_USE)


async def _release(driver: Driver, name: str = "checkout") -> str:
    """Start the release of a gate that is off until then; return its trigger's id."""
    await driver.save_gate(name)
    reply = await driver.save_gate(name, EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


async def _held(driver: Driver, trigger_id: str) -> Trigger | None:
    trigger = await driver.trigger(trigger_id)
    return trigger if trigger.held else None


async def _events(driver: Driver) -> list[EventType]:
    return [logged.event.type for logged in await driver.history("checkout")]
