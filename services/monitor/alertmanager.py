"""The webhook for Alertmanager: stores each alert in ALERTS, once, before it answers.

Format, version 4: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
An Alertmanager tries again only after a 5xx, and treats a redirect as a success. So the webhook never
answers 429 or 3xx.
"""

import asyncio
import hmac
import json
import logging
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import ALERT_BYTES_MAX, Alert
from sluiceway.contracts.validation_errors import describe_errors
from sluiceway.errors import Unavailable
from sluiceway.http.request_body import BodyTooLarge, read_body
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.publishing import StreamPublisher

from . import metrics

log = logging.getLogger(__name__)

PATH = "/alertmanager"
SOURCE = "alertmanager"
BODY_BYTES_MAX = 4 * 2**20
SETUP = (
    "set SLUICEWAY_ALERTMANAGER_TOKEN, and the same token as credentials of the receiver in alertmanager.yml"
)


class AlertmanagerWebhook:
    """Accepts alerts with the right token; without a token in the settings it refuses all.

    Before `open` it answers 503.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._connection: Connection | None = None
        self._dead_letters: DeadLetters | None = None
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
        try:
            body = await read_body(request, BODY_BYTES_MAX)
        except BodyTooLarge as error:
            return 413, f"{error}; set max_alerts in the receiver"
        try:
            alerts = parse_message(body)
        except ValueError as error:
            await self._dead_letters.store(PATH, body, str(error), "invalid")
            return 400, str(error)
        return await self._store(alerts, self._connection, self._dead_letters)

    async def _store(
        self, alerts: list[Any], connection: Connection, dead_letters: DeadLetters
    ) -> tuple[int, str]:
        """Store each valid alert; move the others to the dead letters."""
        valid: list[Alert] = []
        for alert in alerts:
            try:
                valid.append(parse_alert(alert))
            except ValueError as error:
                reason = describe_errors(error) if isinstance(error, ValidationError) else str(error)
                await dead_letters.store(PATH, json.dumps(alert).encode(), reason, "invalid")
        try:
            await asyncio.gather(*(_publish(alert, connection) for alert in valid))
        except Unavailable as error:
            return 503, f"the alerts could not be stored: {error}"
        return 202, f"{len(valid)} alerts stored, {len(alerts) - len(valid)} rejected"


def parse_message(body: bytes) -> list[Any]:
    """Return the alerts of a webhook message, unparsed; `ValueError` if the message is invalid."""
    message = _json(body)
    if not isinstance(message, dict) or message.get("version") != "4":
        raise ValueError('invalid Alertmanager message: expected a JSON object with version "4"')
    alerts = message.get("alerts")
    if not isinstance(alerts, list):
        raise ValueError("invalid Alertmanager message: expected a list in the field alerts")
    return alerts


def parse_alert(alert: Any) -> Alert:
    """Return one alert of a webhook message; `ValueError` if it is invalid."""
    size = len(json.dumps(alert))
    if size > ALERT_BYTES_MAX:
        raise ValueError(f"alert too large: {size} bytes, at most {ALERT_BYTES_MAX} are allowed")
    fields = alert if isinstance(alert, dict) else {}
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


async def _publish(alert: Alert, connection: Connection) -> None:
    identity = f"{alert.fingerprint}-{alert.starts_at}-{alert.status}"
    await StreamPublisher(connection, subjects.ALERTS_STREAM).publish(
        subjects.alert(SOURCE), alert.to_json(), message_id=identity if alert.fingerprint else None
    )


def _is_allowed(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    is_same = hmac.compare_digest(given.strip().encode(), token.encode())
    return is_same and scheme.lower() == "bearer"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"invalid Alertmanager message: {error}") from error
