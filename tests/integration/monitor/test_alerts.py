"""Alerts on a running system: the webhook for Alertmanager, and alert guardrails."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.monitor.alertmanager import BODY_BYTES_MAX, parse_alert
from services.monitor.app import Monitor
from services.monitor.metrics import ALERTMANAGER_TRUNCATED
from services.monitor.settings import Settings
from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import Alert, AlertOutcome, AnsweredAlert
from sluiceway.contracts.envelope import rfc3339
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.http.server import health_server
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.pipelines.alert_times import CLOCKS_DIFFER_MS
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.cli.calls import Cli
from tests.support.http import http_client
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

LONG_MS = 3_600_000
TOKEN = "t0ken"
PAGER = {"name": "pager", "alert": {"matchLabels": {"severity": "critical", "team": "checkout"}}}
CRITICAL = {"severity": "critical", "team": "checkout"}


def firing(name: str = "ErrorsHigh", n: int = 1, **labels: str) -> dict[str, Any]:
    """Return an alert as an Alertmanager 0.25 lists it; it starts now."""
    return {
        "status": "firing",
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": "too many errors"},
        "startsAt": rfc3339(now_ms()),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph?g0.expr=up",
        "fingerprint": f"{n:016x}",
    }


class AlertWebhook(NamedTuple):
    """A monitor with its webhook, and a driver that follows the effects."""

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

    async def answered(self) -> list[AnsweredAlert]:
        return await MeasurementStore(self.driver.connection, "/tests").answered_alerts()

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
        http_client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as http,
    ):
        yield http


@pytest.fixture
async def webhook(broker: Broker) -> AsyncIterator[AlertWebhook]:
    monitor = Monitor(Settings(nats_url=broker.url, alertmanager_token=TOKEN))
    async with (
        services(broker.url, monitors=0),
        driving(broker.url) as driver,
        monitor,
        serving(monitor) as http,
    ):
        yield AlertWebhook(driver, http)


async def test_an_alert_is_stored_before_it_is_answered_and_rolls_back(webhook: AlertWebhook) -> None:
    trigger = await webhook.release()

    answer = await webhook.post(firing(gate="checkout", region="dev"))

    assert answer.status_code == 202
    assert [alert["name"] for alert in await webhook.stored()] == ["ErrorsHigh"]
    ended = await webhook.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
    reason = ended.actions[-1].reason or ""
    assert "ErrorsHigh from alertmanager" in reason
    assert "http://prometheus/graph?g0.expr=up" in reason


async def test_the_same_firing_is_stored_once_and_another_one_again(webhook: AlertWebhook) -> None:
    one, other = ({**firing(n=n), "startsAt": f"2026-11-23T18:49:0{n}.123456789Z"} for n in (1, 2))
    await webhook.post(one)
    await webhook.post(one, other)
    await webhook.post({**one, "status": "resolved", "endsAt": "2026-11-23T18:50:00Z"}, status="resolved")
    await webhook.post({**one, "startsAt": "2026-11-23T19:00:00Z"})

    stored = [(alert["status"], alert["startsAt"][:16]) for alert in await webhook.stored()]
    assert stored == [
        ("firing", "2026-11-23T18:49"),
        ("firing", "2026-11-23T18:49"),
        ("resolved", "2026-11-23T18:49"),
        ("firing", "2026-11-23T19:00"),
    ]


async def test_each_alert_of_a_group_counts_by_its_own_status(webhook: AlertWebhook) -> None:
    trigger = await webhook.release()
    resolved = {**firing(n=1, gate="checkout"), "status": "resolved"}

    await webhook.post(resolved, firing(n=2, gate="other"))
    await webhook.post(firing(n=3, gate="checkout"), {"labels": "nonsense"}, {**resolved, "status": "dozing"})

    await webhook.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
    assert len(await webhook.stored()) == 3
    letters = await webhook.driver.connection.js.stream_info(subjects.DEAD_LETTERS_STREAM)
    assert letters.state.messages == 2


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer"])
async def test_alerts_without_the_token_are_refused(webhook: AlertWebhook, authorization: str) -> None:
    answer = await webhook.http.post("/alertmanager", json={}, headers={"Authorization": authorization})

    assert answer.status_code == 401
    assert "SLUICEWAY_ALERTMANAGER_TOKEN" in answer.json()["message"]


@pytest.mark.parametrize("token", [None, ""])
async def test_a_monitor_without_a_token_refuses_all_alerts(broker: Broker, token: str | None) -> None:
    async with serving(Monitor(Settings(nats_url=broker.url, alertmanager_token=token))) as http:
        for authorization in ("Bearer ", "Bearer x", ""):
            answer = await http.post(
                "/alertmanager", json={}, headers={"Authorization": authorization.strip()}
            )
            assert answer.status_code == 401


async def test_alerts_that_cannot_be_stored_are_answered_with_5xx_and_accepted_later(
    webhook: AlertWebhook, broker: Broker
) -> None:
    alert = firing()
    broker.kill()
    refused = await webhook.post(alert)
    broker.start()

    assert refused.status_code == 503

    async def is_accepted() -> bool:
        return (await webhook.post(alert)).status_code == 202

    await eventually(is_accepted, "the broker is back")
    assert len(await webhook.stored()) == 1


async def test_before_it_is_connected_a_monitor_answers_with_5xx() -> None:
    monitor = Monitor(Settings(nats_url="nats://127.0.0.1:9", alertmanager_token=TOKEN))
    async with serving(monitor) as http:
        assert (await http.post("/alertmanager", json={"version": "4", "alerts": []})).status_code == 503


async def test_an_invalid_message_is_refused_and_kept(webhook: AlertWebhook) -> None:
    for body in (b"{", b"[]", b'{"version": "3", "alerts": []}', b'{"version": "4"}', b"[" * 100_000):
        assert (await webhook.http.post("/alertmanager", content=body)).status_code == 400
    too_large = await webhook.http.post("/alertmanager", content=b" " * (BODY_BYTES_MAX + 1))

    assert too_large.status_code == 413
    letters = await webhook.driver.connection.js.stream_info(subjects.DEAD_LETTERS_STREAM)
    assert letters.state.messages == 5


async def test_a_group_of_six_megabytes_is_stored_and_rolls_back(webhook: AlertWebhook) -> None:
    trigger = await webhook.release()
    alerts = [{**firing(team="search"), "fingerprint": f"{n:016x}"} for n in range(9_000)]
    alerts[4_500] = {
        **alerts[4_500],
        "labels": {"alertname": "ErrorsHigh", "gate": "checkout"},
        "annotations": {"summary": "x" * 60_000},
    }
    for alert in alerts[:6_000]:
        alert["annotations"] = {"summary": "x" * 800}

    answer = await webhook.post(*alerts)

    assert len(answer.request.content) > 6_000_000
    assert (answer.status_code, answer.json()["message"]) == (202, "9000 alerts stored, 0 rejected")
    js = webhook.driver.connection.js
    assert (await js.stream_info(subjects.ALERTS_STREAM)).state.messages == 9_000
    await webhook.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)


async def test_alerts_that_alertmanager_left_out_are_counted_and_listed(
    webhook: AlertWebhook, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    before = ALERTMANAGER_TRUNCATED._value.get()

    group = {"alertname": "ErrorsHigh", "team": "checkout"}
    answer = await webhook.post(firing(), truncatedAlerts=37, groupKey="{}:{x}", groupLabels=group)
    whole = await webhook.post(firing(n=2), truncatedAlerts=0)
    odd = await webhook.post(truncatedAlerts=2, groupLabels={"alertname": "x" * 200, "n": 1})

    assert answer.json()["message"] == "1 alerts stored, 0 rejected, 37 left out by Alertmanager"
    assert (whole.status_code, odd.status_code) == (202, 202)
    assert ALERTMANAGER_TRUNCATED._value.get() - before == 39
    assert "left 37 alerts out of the group {}:{x}: let its route group by more labels" in caplog.text
    store = MeasurementStore(webhook.driver.connection, "/tests")
    listed, _ = [a for a in await store.answered_alerts() if a.outcome is AlertOutcome.TRUNCATED]
    assert (listed.left_out, listed.alert.labels) == (37, group)
    assert "truncated (37 alerts left out)" in (await Cli(broker.url).succeeds("alert", "list")).out


async def test_text_that_no_message_can_hold_is_accepted_once(webhook: AlertWebhook) -> None:
    half = "\ud83d"
    alerts = [{**firing(n=1), "startsAt": start} for start in (half, {"a": [half]})]
    groups: list[dict[str, Any]] = [
        {"alerts": [*alerts, firing(n=2)]},
        {"alerts": [], "truncatedAlerts": 10**400, "groupKey": half, "groupLabels": {"alertname": " "}},
        {"alerts": [], "truncatedAlerts": 1, "groupLabels": {"alertname": half, half: half}},
        {"alerts": [], "truncatedAlerts": 1, "groupLabels": {f"l{n}": "x" * 20_000 for n in range(200)}},
    ]

    answers = [
        await webhook.http.post("/alertmanager", content=json.dumps({"version": "4", **group}))
        for group in groups
    ]

    assert [answer.status_code for answer in answers] == [202] * 4
    assert answers[0].json()["message"] == "1 alerts stored, 2 rejected"
    listed = [a.alert for a in await webhook.answered() if a.outcome is AlertOutcome.TRUNCATED]
    assert {alert.name for alert in listed} == {"unknown", "?"}
    assert "?" in [alert.annotations["groupKey"] for alert in listed]


async def test_a_group_that_is_too_large_is_refused_with_what_to_do_and_listed(webhook: AlertWebhook) -> None:
    answer = await webhook.http.post("/alertmanager", content=b" " * (BODY_BYTES_MAX + 1))

    assert answer.status_code == 413
    assert "group_by: ['...'], and set max_alerts: 0" in answer.json()["message"]
    (listed,) = await MeasurementStore(webhook.driver.connection, "/tests").answered_alerts()
    assert listed.outcome is AlertOutcome.TRUNCATED
    assert "the body is too large" in listed.alert.annotations["reason"]


async def test_nothing_is_redirected(webhook: AlertWebhook) -> None:
    for path in ("/alertmanager/", "//alertmanager", "/Alertmanager"):
        assert (await webhook.http.post(path, json={})).status_code == 404
    assert (await webhook.http.get("/alertmanager")).status_code == 405


async def test_an_alert_that_names_no_feature_fails_the_guardrail_with_its_labels(
    webhook: AlertWebhook,
) -> None:
    trigger = await webhook.release(
        phase("dev", guardrails=[PAGER]), phase("prod-eu", bake_ms=LONG_MS), phase("staging", guardrails=[])
    )
    await webhook.driver.reaches(trigger, TriggerStatus.IN_PROGRESS, "prod-eu")

    await webhook.post(firing("Slow", 1, severity="critical", team="search"))
    await webhook.post(firing("Slow", 2, **CRITICAL, region="staging"))
    await webhook.post(firing("Slow", 3, **CRITICAL, gate="other"))
    assert (await webhook.driver.trigger(trigger)).status is TriggerStatus.IN_PROGRESS
    await webhook.post(firing("Slow", 4, **CRITICAL))

    ended = await webhook.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
    assert "guardrail pager of phase dev: alert Slow" in (ended.actions[-1].reason or "")
    assert "region=staging" not in (ended.actions[-1].reason or "")
    store = MeasurementStore(webhook.driver.connection, "/tests")
    answered = await eventually(lambda: _four(store), "each alert is answered")
    assert [alert.outcome for alert in answered] == ["unmatched", "unmatched", "unmatched", "matched"]
    assert answered[-1].triggers == (trigger,)


async def _four(store: MeasurementStore) -> list[AnsweredAlert] | None:
    answered = await store.answered_alerts()
    return sorted(answered, key=lambda alert: alert.sequence) if len(answered) == 4 else None


@pytest.mark.parametrize("guardrails", [[], [PAGER]])
async def test_an_alert_that_started_before_the_release_is_recorded_and_rolls_nothing_back(
    webhook: AlertWebhook, guardrails: list[dict[str, Any]]
) -> None:
    labels = CRITICAL if guardrails else {"gate": "checkout", "region": "dev"}
    yesterday = {**firing(n=1, **labels), "startsAt": rfc3339(now_ms() - 86_400_000)}
    trigger = await webhook.release(phase("dev", bake_ms=LONG_MS, guardrails=guardrails))

    await webhook.post(yesterday)

    (answered,) = await eventually(webhook.answered, "the alert is answered")
    assert answered.outcome is AlertOutcome.BEFORE_RELEASE
    assert (answered.triggers, answered.later_triggers) == ((), (trigger,))
    assert (await webhook.driver.trigger(trigger)).status is TriggerStatus.IN_PROGRESS
    await webhook.post(firing(n=2, **labels))
    await webhook.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)


async def test_an_alert_without_a_start_that_waited_for_the_monitor_started_when_it_was_stored(
    broker: Broker,
) -> None:
    async with services(broker.url, monitors=0), driving(broker.url) as driver:
        await driver.alert("Boom", gate="checkout")
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
        await driver.save_gate("checkout")
        later_ms = now_ms() + 2 * CLOCKS_DIFFER_MS
        await eventually(lambda: now_ms() > later_ms, "clocks cannot differ by that much")
        await driver.save_gate("checkout", EVERYONE, releasePipelineID=PIPELINE)

        async with Monitor(Settings(nats_url=broker.url)):
            store = MeasurementStore(driver.connection, "/tests")
            (answered,) = await eventually(store.answered_alerts, "the alert is answered")

    assert answered.outcome is AlertOutcome.BEFORE_RELEASE


def test_answers_of_the_last_version_are_read() -> None:
    stored = (
        b'{"alert":{"name":"Slow","status":"firing","labels":{},"annotations":{},"startsAt":null,'
        b'"fingerprint":null,"url":null},"source":"ci","sequence":7,"timeMs":5,"outcome":"matched",'
        b'"triggers":["gate.checkout.1"]}'
    )

    assert AnsweredAlert.model_validate_json(stored) == AnsweredAlert(
        alert=Alert(name="Slow"),
        source="ci",
        sequence=7,
        time_ms=5,
        outcome=AlertOutcome.MATCHED,
        triggers=("gate.checkout.1",),
    )


async def test_an_alert_may_only_pause(webhook: AlertWebhook) -> None:
    trigger = await webhook.release(
        phase("dev", bake_ms=LONG_MS, guardrails=[{**PAGER, "onFailure": "pause"}])
    )

    await webhook.post(firing("Slow", 1, **CRITICAL))

    await webhook.driver.reaches(trigger, TriggerStatus.PAUSED)


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
def test_any_alert_is_accepted_or_refused_with_an_error(alert: Any) -> None:
    try:
        result = parse_alert(alert).name
    except ValueError as error:
        result = str(error)

    assert result
