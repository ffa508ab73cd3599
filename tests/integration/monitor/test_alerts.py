"""Alerts on a running system: an Alertmanager's webhook, and guardrails that wait for alerts."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.alertmanager import BODY_BYTES_MAX, alert_of
from services.monitor.app import Monitor
from services.monitor.settings import Settings
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import AnsweredAlert
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.http.server import health_server
from sluiceway.messaging.measurement_store import MeasurementStore
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

LONG_MS = 3_600_000
TOKEN = "t0ken"
PAGER = {"name": "pager", "alert": {"matchLabels": {"severity": "critical", "team": "checkout"}}}
CRITICAL = {"severity": "critical", "team": "checkout"}


def firing(name: str = "ErrorsHigh", n: int = 1, **labels: str) -> dict[str, Any]:
    """Return an alert as an Alertmanager 0.25 lists it."""
    return {
        "status": "firing",
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": "too many errors"},
        "startsAt": f"2026-11-23T18:49:{n:02}.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph?g0.expr=up",
        "fingerprint": f"{n:016x}",
    }


class Hook(NamedTuple):
    """A monitor with its webhook, and somebody who looks at what becomes of it."""

    driver: Driver
    http: httpx2.AsyncClient

    async def post(self, *alerts: Any, **message: Any) -> httpx2.Response:
        body = {"version": "4", "status": "firing", "receiver": r"team\.hook", "alerts": alerts, **message}
        return await self.http.post("/alertmanager", json=body)

    async def stored(self) -> list[dict[str, Any]]:
        """Return what is in ALERTS."""
        js = self.driver.connection.js
        state = (await js.stream_info(subjects.ALERTS_STREAM)).state
        messages = [
            await js.get_msg(subjects.ALERTS_STREAM, n)
            for n in range(state.first_seq, state.last_seq + 1)
            if state.messages
        ]
        return [json.loads(message.data or b"") for message in messages]

    async def release(self, *phases: dict[str, Any]) -> str:
        await apply_catalogue(self.driver, *(phases or (phase("dev", bake_ms=LONG_MS),)))
        await self.driver.save_gate("checkout")
        reply = await self.driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)
        assert reply.feature
        assert reply.feature.trigger
        return reply.feature.trigger.id


@asynccontextmanager
async def serving(monitor: Monitor) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        health_server(monitor.settings, monitor.readiness, monitor.pages) as url,
        httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as http,
    ):
        yield http


@pytest.fixture
async def hook(broker: Broker) -> AsyncIterator[Hook]:
    monitor = Monitor(Settings(nats_url=broker.url, alertmanager_token=TOKEN))
    async with (
        services(broker.url, monitors=0),
        driving(broker.url) as driver,
        monitor,
        serving(monitor) as http,
    ):
        yield Hook(driver, http)


async def test_an_alert_is_stored_before_it_is_answered_and_rolls_back(hook: Hook) -> None:
    trigger = await hook.release()

    answer = await hook.post(firing(gate="checkout", region="dev"))

    assert answer.status_code == 202
    assert [alert["name"] for alert in await hook.stored()] == ["ErrorsHigh"]
    ended = await hook.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
    reason = ended.actions[-1].reason or ""
    assert "ErrorsHigh from alertmanager" in reason
    assert "http://prometheus/graph?g0.expr=up" in reason


async def test_the_same_firing_is_stored_once_and_another_one_again(hook: Hook) -> None:
    one, other = firing(n=1), firing(n=2)
    await hook.post(one)
    await hook.post(one, other)
    await hook.post({**one, "status": "resolved", "endsAt": "2026-11-23T18:50:00Z"}, status="resolved")
    await hook.post({**one, "startsAt": "2026-11-23T19:00:00Z"})

    told = [(alert["status"], alert["startsAt"][:16]) for alert in await hook.stored()]
    assert told == [
        ("firing", "2026-11-23T18:49"),
        ("firing", "2026-11-23T18:49"),
        ("resolved", "2026-11-23T18:49"),
        ("firing", "2026-11-23T19:00"),
    ]


async def test_each_alert_of_a_group_counts_by_its_own_status(hook: Hook) -> None:
    trigger = await hook.release()
    resolved = {**firing(n=1, gate="checkout"), "status": "resolved"}

    await hook.post(resolved, firing(n=2, gate="other"))
    await hook.post(firing(n=3, gate="checkout"), {"labels": "nonsense"}, {**resolved, "status": "dozing"})

    await hook.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
    assert len(await hook.stored()) == 3
    letters = await hook.driver.connection.js.stream_info(subjects.DEAD_LETTERS_STREAM)
    assert letters.state.messages == 2


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer"])
async def test_nobody_without_the_token_is_heard(hook: Hook, authorization: str) -> None:
    answer = await hook.http.post("/alertmanager", json={}, headers={"Authorization": authorization})

    assert answer.status_code == 401
    assert "SLUICEWAY_ALERTMANAGER_TOKEN" in answer.json()["message"]


@pytest.mark.parametrize("token", [None, ""])
async def test_without_a_token_of_its_own_a_monitor_hears_nobody(broker: Broker, token: str | None) -> None:
    async with serving(Monitor(Settings(nats_url=broker.url, alertmanager_token=token))) as http:
        for shown in ("Bearer ", "Bearer x", ""):
            answer = await http.post("/alertmanager", json={}, headers={"Authorization": shown.strip()})
            assert answer.status_code == 401


async def test_what_cannot_be_stored_is_answered_with_5xx_and_taken_later(hook: Hook, broker: Broker) -> None:
    broker.kill()
    refused = await hook.post(firing())
    broker.start()

    assert refused.status_code == 503

    async def is_taken() -> bool:
        return (await hook.post(firing())).status_code == 202

    await eventually(is_taken, "the broker is back")
    assert len(await hook.stored()) == 1


async def test_before_it_knows_its_broker_a_monitor_answers_with_5xx() -> None:
    monitor = Monitor(Settings(nats_url="nats://127.0.0.1:9", alertmanager_token=TOKEN))
    async with serving(monitor) as http:
        assert (await http.post("/alertmanager", json={"version": "4", "alerts": []})).status_code == 503


async def test_a_message_that_is_none_is_refused_and_kept(hook: Hook) -> None:
    for body in (b"{", b"[]", b'{"version": "3", "alerts": []}', b'{"version": "4"}', b"[" * 100_000):
        assert (await hook.http.post("/alertmanager", content=body)).status_code == 400
    too_large = await hook.http.post("/alertmanager", content=b" " * (BODY_BYTES_MAX + 1))

    assert too_large.status_code == 413
    letters = await hook.driver.connection.js.stream_info(subjects.DEAD_LETTERS_STREAM)
    assert letters.state.messages == 5


async def test_nothing_is_redirected(hook: Hook) -> None:
    for path in ("/alertmanager/", "//alertmanager", "/Alertmanager"):
        assert (await hook.http.post(path, json={})).status_code == 404
    assert (await hook.http.get("/alertmanager")).status_code == 405


async def test_an_alert_that_names_no_feature_trips_the_guardrail_that_waits_for_it(hook: Hook) -> None:
    trigger = await hook.release(
        phase("dev", guardrails=[PAGER]), phase("prod-eu", bake_ms=LONG_MS), phase("staging", guardrails=[])
    )
    await hook.driver.reaches(trigger, TriggerStatus.IN_PROGRESS, "prod-eu")

    await hook.post(firing("Slow", 1, severity="critical", team="search"))
    await hook.post(firing("Slow", 2, **CRITICAL, region="staging"))
    await hook.post(firing("Slow", 3, **CRITICAL, gate="other"))
    assert (await hook.driver.trigger(trigger)).status is TriggerStatus.IN_PROGRESS
    await hook.post(firing("Slow", 4, **CRITICAL))

    ended = await hook.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
    assert "guardrail pager of phase dev: alert Slow" in (ended.actions[-1].reason or "")
    assert "region=staging" not in (ended.actions[-1].reason or "")
    store = MeasurementStore(hook.driver.connection, "/tests")
    answered = await eventually(lambda: _four(store), "each alert is answered")
    assert [one.outcome for one in answered] == ["unmatched", "unmatched", "unmatched", "matched"]
    assert answered[-1].triggers == (trigger,)


async def _four(store: MeasurementStore) -> list[AnsweredAlert] | None:
    answered = await store.answered_alerts()
    return sorted(answered, key=lambda one: one.sequence) if len(answered) == 4 else None


async def test_an_alert_may_only_pause(hook: Hook) -> None:
    trigger = await hook.release(phase("dev", bake_ms=LONG_MS, guardrails=[{**PAGER, "onFailure": "pause"}]))

    await hook.post(firing("Slow", 1, **CRITICAL))

    await hook.driver.reaches(trigger, TriggerStatus.PAUSED)


ALERTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    alert=ALERTS
    | st.fixed_dictionaries(
        {"status": st.sampled_from(("firing", "resolved", "x")), "labels": ALERTS, "fingerprint": ALERTS}
    )
)
def test_whatever_an_alert_looks_like_it_is_taken_or_refused_by_name(alert: Any) -> None:
    try:
        said = alert_of(alert).name
    except ValueError as error:
        said = str(error)

    assert said
