"""The webhook of an Alertmanager: each alert into ALERTS, once, before it is answered.

Format, version 4: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
An Alertmanager tries again after a 5xx only, and takes a redirect for a success: neither 429 nor
3xx is ever answered.
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
HOW = "set SLUICEWAY_ALERTMANAGER_TOKEN, and the same as credentials of the receiver in alertmanager.yml"


class AlertmanagerWebhook:
    """Takes what an Alertmanager sends who shows the token; where that is empty, nobody can.

    Before `open` nothing can be stored, and it says so.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._connection: Connection | None = None
        self._dead_letters: DeadLetters | None = None
        self.pages = Starlette(routes=[Route(PATH, self._receive, methods=["POST"])])
        self.pages.router.redirect_slashes = False

    def open(self, connection: Connection, dead_letters: DeadLetters) -> None:
        """Store from now on."""
        self._connection, self._dead_letters = connection, dead_letters

    async def _receive(self, request: Request) -> JSONResponse:
        status, message = await self._answer(request)
        metrics.ALERTMANAGER_REQUESTS.labels(status).inc()
        if status >= 400:
            log.warning("an Alertmanager was answered %s: %s", status, message)
        return JSONResponse({"status": status, "message": message}, status)

    async def _answer(self, request: Request) -> tuple[int, str]:
        if not self._token:
            return 401, f"nobody may send alerts yet: {HOW}"
        if not _is_allowed(request.headers.get("authorization", ""), self._token):
            return 401, f"wrong credentials; {HOW}"
        if self._connection is None or self._dead_letters is None:
            return 503, "the monitor has not reached its broker yet"
        try:
            body = await read_body(request, BODY_BYTES_MAX)
        except BodyTooLarge as error:
            return 413, f"{error}; limit the group with max_alerts"
        try:
            alerts = alerts_in(body)
        except ValueError as error:
            await self._dead_letters.store(PATH, body, str(error), "invalid")
            return 400, str(error)
        return await self._store(alerts, self._connection, self._dead_letters)

    async def _store(
        self, alerts: list[Any], connection: Connection, dead_letters: DeadLetters
    ) -> tuple[int, str]:
        """Store each alert on its own; one that is none harms no other."""
        good: list[Alert] = []
        for alert in alerts:
            try:
                good.append(alert_of(alert))
            except ValueError as error:
                why = describe_errors(error) if isinstance(error, ValidationError) else str(error)
                await dead_letters.store(PATH, json.dumps(alert).encode(), why, "invalid")
        try:
            await asyncio.gather(*(_publish(alert, connection) for alert in good))
        except Unavailable as error:
            return 503, f"the alerts could not be stored: {error}"
        return 202, f"{len(good)} alerts stored, {len(alerts) - len(good)} rejected"


def alerts_in(body: bytes) -> list[Any]:
    """Return the alerts of a message as they stand there; `ValueError` where it is no such message."""
    message = _json(body)
    if not isinstance(message, dict) or message.get("version") != "4":
        raise ValueError('no message of an Alertmanager: a JSON object with version "4" is expected')
    alerts = message.get("alerts")
    if not isinstance(alerts, list):
        raise ValueError("no message of an Alertmanager: it has no list of alerts")
    return alerts


def alert_of(alert: Any) -> Alert:
    """Return an alert of such a message as ours; `ValueError` where it is none."""
    if len(json.dumps(alert)) > ALERT_BYTES_MAX:
        raise ValueError(f"an alert may have {ALERT_BYTES_MAX} bytes")
    known = alert if isinstance(alert, dict) else {}
    labels = known.get("labels")
    name = labels.get("alertname") if isinstance(labels, dict) else None
    return Alert.model_validate(
        {
            "name": name,
            "status": known.get("status"),
            "labels": labels,
            "annotations": known.get("annotations") or {},
            "startsAt": known.get("startsAt"),
            "fingerprint": known.get("fingerprint"),
            "url": known.get("generatorURL"),
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
        raise ValueError(f"no message of an Alertmanager: {error}") from error
