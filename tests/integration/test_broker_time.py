"""Deadlines and events go by the broker's time; a host whose clock is wrong decides nothing."""

import logging
from pathlib import Path
from typing import Any

import pytest

from services.monitor.app import Monitor
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings
from sluiceway.clock import now_ms
from sluiceway.contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    PauseTrigger,
    SaveEnvironment,
    SaveFeature,
)
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.replies import Outcome, RefusalCode
from sluiceway.messaging.broker_clock import BrokerClock
from sluiceway.service import background_task
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.processes import service_process
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

HOUR_MS = 3_600_000
SECOND_MS = 1_000


class HostClock:
    """The clock of a host that is wrong by `ahead_ms`."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead_ms = ahead_ms

    def __call__(self) -> int:
        return now_ms() + self.ahead_ms


async def release(driver: Driver, *phases: dict[str, Any]) -> str:
    await apply_catalogue(driver, *phases)
    await driver.save_gate("checkout")
    reply = await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


async def test_a_process_two_hours_fast_ends_no_bake_and_says_why(broker: Broker, tmp_path: Path) -> None:
    ahead = tmp_path / "ahead"
    ahead.write_text("7200")
    async with driving(broker.url) as driver:
        async with services(broker.url):
            trigger = await release(driver, phase("dev", bake_ms=HOUR_MS), phase("prod-eu", review=True))
        launcher = ("tests.support.host_clock", str(ahead))
        async with (
            service_process(tmp_path, "services.scheduler", broker.url, *launcher) as fast,
            services(broker.url, schedulers=0),
        ):
            missing = await eventually(
                lambda: _with(fast.missing(), "clock", "ahead"), "readiness names the clock"
            )
            refusal = await driver.refused(SaveEnvironment, environment={"name": "quality"})
            difference = await fast.metric("sluiceway_clock_difference_seconds")
            state = await driver.trigger(trigger)
            ahead.write_text("0")
            await eventually(fast.is_ready, "the clock is right again")
            await driver.accepted(SaveEnvironment, environment={"name": "quality"})

    assert "7,200" in missing["clock"]
    assert "NTP" in missing["clock"]
    assert refusal.code is RefusalCode.UNAVAILABLE
    assert "the clock of this host is 7,200" in refusal.message
    assert difference == pytest.approx(7_200, abs=5)
    assert (state.status, state.current) == (TriggerStatus.IN_PROGRESS, 0)
    assert fast.log.read_text().count("the clock of this host is") >= 1


async def _with(answer: Any, key: str, text: str) -> dict[str, str] | None:
    missing = await answer
    return missing if missing and text in missing.get(key, "") else None


@pytest.mark.parametrize("ahead_ms", [20 * SECOND_MS, -20 * SECOND_MS])
async def test_events_and_deadlines_go_by_the_brokers_time(broker: Broker, ahead_ms: int) -> None:
    async with (
        Scheduler(Settings(nats_url=broker.url), HostClock(ahead_ms)),
        services(broker.url, schedulers=0),
        driving(broker.url) as driver,
    ):
        trigger = await release(driver, phase("dev", bake_ms=SECOND_MS), phase("prod-eu", review=True))
        await driver.reaches(trigger, TriggerStatus.WAITING_FOR_REVIEW)

        events = [logged.event for logged in await driver.history("checkout")]

    times = [event.time_ms for event in events]
    assert times == sorted(times)
    assert abs(times[-1] - now_ms()) < 10 * SECOND_MS
    assert times[-1] - times[1] >= SECOND_MS


async def test_a_clock_that_jumps_changes_no_deadline_and_is_noticed_immediately(broker: Broker) -> None:
    clock = HostClock()
    scheduler = Scheduler(Settings(nats_url=broker.url), clock)
    async with scheduler, services(broker.url, schedulers=0), driving(broker.url) as driver:
        trigger = await release(
            driver, phase("dev", review=True), phase("prod-eu", bake_ms=HOUR_MS), phase("staging")
        )
        assert await scheduler.readiness() == {}

        clock.ahead_ms = 5 * SECOND_MS
        assert await scheduler.readiness() == {}
        await driver.act(ApprovePhase, trigger)
        clock.ahead_ms = -2 * HOUR_MS
        missing = await scheduler.readiness()
        refusal = await driver.refused(SaveEnvironment, environment={"name": "quality"})
        clock.ahead_ms = 2 * HOUR_MS
        await driver.reaches(trigger, TriggerStatus.IN_PROGRESS, "dev")
        clock.ahead_ms = 0
        await driver.reaches(trigger, TriggerStatus.IN_PROGRESS, "prod-eu")

    assert "behind the broker's" in missing["clock"]
    assert refusal.code is RefusalCode.UNAVAILABLE
    assert "behind" in refusal.message


async def test_what_takes_something_back_works_whatever_the_clock_says(broker: Broker) -> None:
    clock = HostClock()
    async with Scheduler(Settings(nats_url=broker.url), clock), driving(broker.url) as driver:
        trigger = await release(driver, phase("dev", bake_ms=HOUR_MS))
        clock.ahead_ms = 2 * HOUR_MS

        await driver.act(PauseTrigger, trigger)
        await driver.act(AbortTrigger, trigger)
        off = await driver.save_gate("search", isEnabled=False)
        refusal = await driver.refused(SaveFeature, feature={"kind": "FeatureGate", "name": "other"})

        assert off.outcome is Outcome.ACCEPTED
        assert refusal.code is RefusalCode.UNAVAILABLE
        ended = await driver.trigger(trigger)
        assert ended.status is TriggerStatus.ABORTED
        assert abs(ended.actions[-1].time_ms - now_ms()) < 10 * SECOND_MS


async def test_a_monitor_with_a_wrong_clock_holds_phases_and_puts_no_alert_aside(broker: Broker) -> None:
    clock = HostClock(2 * HOUR_MS)
    async with Scheduler(Settings(nats_url=broker.url)), driving(broker.url) as driver:
        await driver.alert("Old", gate="checkout")
        later_ms = now_ms() + SECOND_MS
        await eventually(lambda: now_ms() > later_ms, "the alert is older than the release")
        trigger = await release(driver, phase("dev", bake_ms=SECOND_MS), phase("prod-eu", bake_ms=HOUR_MS))
        monitor = Monitor(MonitorSettings(nats_url=broker.url), clock)
        async with monitor:
            held = await eventually(lambda: _holds(driver, trigger), "the phase is held")
            assert "clock" in (await monitor.readiness())
            info = await driver.connection.js.consumer_info("ALERTS", "monitor")
            assert info.ack_floor
            assert info.ack_floor.stream_seq == 0, "the old alert is neither answered nor lost"
            await driver.alert("New", gate="checkout")
            await driver.reaches(trigger, TriggerStatus.ROLLED_BACK)

    assert "the clock of the monitor's host" in held[0]


async def _holds(driver: Driver, trigger: str) -> tuple[str, ...]:
    return (await driver.trigger(trigger)).held


async def test_a_difference_is_logged_once_and_when_it_has_gone(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = HostClock(5 * SECOND_MS)
    async with services(broker.url), driving(broker.url) as driver:
        broker_clock = BrokerClock(driver.connection, clock)
        async with background_task(broker_clock.run(), "clock"):
            await broker_clock.measured()
            for _ in range(3):
                broker.kill()
                broker.start()
                await eventually(driver.connection.is_alive, "the clock is compared again")
            clock.ahead_ms = 0
            broker.kill()
            broker.start()
            await eventually(lambda: "agree again" in caplog.text, "the end of it is logged")

    assert caplog.text.count("5.0 s ahead of the broker's") == 1
