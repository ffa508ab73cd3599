"""The webhook for Alertmanager: stores each alert in ALERTS before it answers.

Format, version 4: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
An Alertmanager tries again only after a 5xx, and treats a redirect as a success. So the webhook never
answers 429 or 3xx. After another 4xx it gives up, logs the answer, and sends the group again, as it is
then, after `group_interval`.
"""

import asyncio
import hmac
import json
import logging
from typing import Any, NamedTuple

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import (
    ALERT_BYTES_MAX,
    LABELS_MAX,
    Alert,
    AlertOutcome,
    AnsweredAlert,
)
from sluiceway.contracts.json_depth import DEPTH_MAX, is_too_deep, without_deep_members
from sluiceway.contracts.validation_errors import describe_errors
from sluiceway.errors import Unavailable
from sluiceway.http.request_body import BodyTooLarge, read_body
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.measurement_store import MeasurementStore

from . import metrics
from .alert_publisher import AlertPublisher, RejectedAlert

log = logging.getLogger(__name__)

PATH = "/alertmanager"
SOURCE = subjects.WEBHOOK_SOURCE
#: About 50,000 alerts.
BODY_BYTES_MAX = 32 * 2**20
BODY_SECONDS = 30.0
#: Requests whose bodies are in memory at the same time; others wait.
REQUESTS_MAX = 4
#: Characters of a group's key and name, and of each of its labels, that are kept.
GROUP_KEY_MAX = 2_000
NAME_MAX = 100
LABEL_MAX = 300
#: A larger number of alerts that were left out counts as this one.
TRUNCATED_MAX = 1_000_000
#: Stands for an alert that is nested too deeply to be read.
TOO_DEEP = b'"nested too deeply"'
SETUP = (
    "set SLUICEWAY_ALERTMANAGER_TOKEN, and the same token as credentials of the receiver in alertmanager.yml"
)
GROUPING = "let its route group by more labels, for example group_by: ['...'], and set max_alerts: 0"


class WebhookMessage(NamedTuple):
    """A group of alerts, not validated yet."""

    alerts: list[Any]
    #: How many alerts Alertmanager left out, because of `max_alerts`.
    truncated: int
    #: What identifies the group, and what its alerts have in common.
    group_key: str
    labels: dict[str, str]


class AlertmanagerWebhook:
    """Accepts alerts with the right token; without a token in the settings it refuses all.

    Before `open` it answers 503.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._connection: Connection | None = None
        self._dead_letters: DeadLetters | None = None
        self._free = asyncio.Semaphore(REQUESTS_MAX)
        self._publisher = AlertPublisher(SOURCE)
        self.pages = Starlette(routes=[Route(PATH, self._receive, methods=["POST"])])
        self.pages.router.redirect_slashes = False

    def open(self, connection: Connection, dead_letters: DeadLetters) -> None:
        """Store alerts from now on."""
        self._connection, self._dead_letters = connection, dead_letters

    async def _receive(self, request: Request) -> JSONResponse:
        status, message = await self._answer(request)
        metrics.ALERTMANAGER_REQUESTS.labels(status).inc()
        if status >= 400:
            log.warning("%s: answered %s: %s", PATH, status, message)
        return JSONResponse({"status": status, "message": message}, status)

    async def _answer(self, request: Request) -> tuple[int, str]:
        if not self._token:
            return 401, f"no token is configured: {SETUP}"
        if not _is_allowed(request.headers.get("authorization", ""), self._token):
            return 401, f"invalid token: {SETUP}"
        if self._connection is None or self._dead_letters is None:
            return 503, "the monitor is not connected to its broker yet: try again"
        async with self._free:
            return await self._read_and_store(request, self._connection, self._dead_letters)

    async def _read_and_store(
        self, request: Request, connection: Connection, dead_letters: DeadLetters
    ) -> tuple[int, str]:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await read_body(request, BODY_BYTES_MAX)
        except TimeoutError:
            return 503, f"the body did not arrive within {BODY_SECONDS:g} s: try again"
        except BodyTooLarge as error:
            return await _refuse_group(error, connection)
        try:
            message = await asyncio.to_thread(parse_message, body)
        except ValueError as error:
            await dead_letters.store(PATH, body, str(error), "invalid", sender=SOURCE)
            return 400, str(error)
        return await self._store(message, connection, dead_letters)

    async def _store(
        self, message: WebhookMessage, connection: Connection, dead_letters: DeadLetters
    ) -> tuple[int, str]:
        """Store each valid alert; move the others to the dead letters."""
        valid, rejected = await asyncio.to_thread(_parse_alerts, message.alerts)
        try:
            too_large = await self._publisher.publish_all(valid, connection)
            if message.truncated:
                await _record_truncation(message, connection)
        except Unavailable as error:
            return 503, f"the alerts could not be stored: {error}"
        rejected += too_large
        for alert in rejected:
            await dead_letters.store(PATH, alert.data, alert.reason, "invalid", sender=SOURCE)
        left_out = f", {message.truncated} left out by Alertmanager" if message.truncated else ""
        return 202, f"{len(valid) - len(too_large)} alerts stored, {len(rejected)} rejected{left_out}"


def parse_message(body: bytes) -> WebhookMessage:
    """Return the alerts of a webhook message, unparsed; `ValueError` if the message is invalid."""
    message = _json(without_deep_members(body, TOO_DEEP) if is_too_deep(body) else body)
    if not isinstance(message, dict) or message.get("version") != "4":
        raise ValueError('invalid Alertmanager message: expected a JSON object with version "4"')
    alerts = message.get("alerts")
    if not isinstance(alerts, list):
        raise ValueError("invalid Alertmanager message: expected a list in the field alerts")
    truncated, labels = message.get("truncatedAlerts"), message.get("groupLabels")
    return WebhookMessage(
        alerts,
        min(truncated, TRUNCATED_MAX) if isinstance(truncated, int) and truncated > 0 else 0,
        _start_of(message.get("groupKey", ""), GROUP_KEY_MAX),
        _group_labels(labels) if isinstance(labels, dict) else {},
    )


def _group_labels(labels: dict[str, Any]) -> dict[str, str]:
    first = list(labels.items())[:LABELS_MAX]
    return {_start_of(key, LABEL_MAX): _start_of(value, LABEL_MAX) for key, value in first}


def _start_of(value: Any, length: int) -> str:
    """Return the start of a value as text, with `?` for each half of a surrogate pair."""
    return str(value)[:length].encode("utf-8", "replace").decode()


def _parse_alerts(alerts: list[Any]) -> tuple[list[Alert], list[RejectedAlert]]:
    valid: list[Alert] = []
    rejected: list[RejectedAlert] = []
    for alert in alerts:
        try:
            valid.append(parse_alert(alert))
        except ValueError as error:
            reason = describe_errors(error) if isinstance(error, ValidationError) else str(error)
            rejected.append(RejectedAlert(json.dumps(alert).encode(), reason))
    return valid, rejected


def parse_alert(alert: Any) -> Alert:
    """Return one alert of a webhook message; `ValueError` if it is invalid."""
    if alert == json.loads(TOO_DEEP):
        raise ValueError(f"it is nested more than {DEPTH_MAX} levels deep")
    size = len(json.dumps(alert))
    if size > ALERT_BYTES_MAX:
        raise ValueError(f"alert too large: {size} bytes, at most {ALERT_BYTES_MAX} are allowed")
    fields = alert if isinstance(alert, dict) else {}
    _check_text(fields.get("startsAt"))
    labels = fields.get("labels")
    name = labels.get("alertname") if isinstance(labels, dict) else None
    return Alert.model_validate(
        {
            "name": name,
            "status": fields.get("status"),
            "labels": labels,
            "annotations": fields.get("annotations") or {},
            "startsAt": fields.get("startsAt"),
            "fingerprint": fields.get("fingerprint"),
            "url": fields.get("generatorURL"),
        }
    )


def _check_text(starts_at: Any) -> None:
    """Raise `ValueError` for a start that no message can hold; the model accepts any JSON value."""
    try:
        json.dumps(starts_at, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("startsAt: half of a surrogate pair; expected a time in RFC 3339") from error


async def _record_truncation(message: WebhookMessage, connection: Connection) -> None:
    """Count, log and list the alerts that were left out: nobody knows which releases they are about."""
    metrics.ALERTMANAGER_TRUNCATED.inc(message.truncated)
    log.warning(
        "Alertmanager left %s alerts out of the group %s: %s", message.truncated, message.group_key, GROUPING
    )
    name = message.labels.get("alertname", "")[:NAME_MAX].strip() or "unknown"
    group = Alert(name=name, labels=message.labels, annotations={"groupKey": message.group_key})
    await _list_lost(group, message.truncated, connection)


async def _refuse_group(error: BodyTooLarge, connection: Connection) -> tuple[int, str]:
    """List a group that is not read, and say how it becomes smaller. Its alerts are lost."""
    answer = f"{error}; no alert of this group is read: {GROUPING}"
    try:
        await _list_lost(Alert(name="unknown", annotations={"reason": answer}), 0, connection)
    except Unavailable as unavailable:
        return 503, f"{answer}; this could not be recorded: {unavailable}"
    return 413, answer


async def _list_lost(group: Alert, left_out: int, connection: Connection) -> None:
    """List a group of which alerts are missing, beside the alerts that were answered."""
    lost = AnsweredAlert(
        alert=group,
        source=SOURCE,
        sequence=0,
        time_ms=now_ms(),
        outcome=AlertOutcome.TRUNCATED,
        left_out=left_out,
    )
    await MeasurementStore(connection, SOURCE).store_answer(lost)


def _is_allowed(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    is_same = hmac.compare_digest(given.strip().encode(), token.encode())
    return is_same and scheme.lower() == "bearer"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"invalid Alertmanager message: {error}") from error
