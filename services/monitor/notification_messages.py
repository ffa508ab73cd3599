"""What a receiver is sent: a signed CloudEvent, or a sentence."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from sluiceway.contracts import envelope
from sluiceway.contracts.measurements import VerdictChanged
from sluiceway.messaging.feature_log import TYPE_PREFIX, LoggedEvent

from .receivers import VERDICT, NotificationFormat, Receiver

SECRET_PREFIX = "whsec_"  # noqa: S105 (the prefix of a secret, not a secret)
SOURCE = "/sluiceway"


class Notification(NamedTuple):
    """One event, or one verdict, for the receivers that want it."""

    id: str
    event: str
    time_ms: int
    #: The feature or trigger that it is about.
    subject: str
    pipeline: str | None
    data: Mapping[str, Any]
    sentence: str


class WebhookRequest(NamedTuple):
    """The body and the headers of a POST."""

    body: bytes
    headers: dict[str, str]


def notification_of_event(logged: LoggedEvent) -> Notification:
    """Return the notification of an event of the log."""
    sequence, event = logged
    trigger = event.feature.trigger
    subject = trigger.id if trigger and event.phase_id else str(event.feature.key)
    phase = f" at phase {event.phase_id}" if event.phase_id else ""
    reason = f": {event.reason}" if event.reason else ""
    overrode = f" (overrode freeze {', '.join(event.overrode)})" if event.overrode else ""
    return Notification(
        id=f"features-{sequence}",
        event=event.type,
        time_ms=event.time_ms,
        subject=subject,
        pipeline=trigger.pipeline.id if trigger else event.feature.release_pipeline_id,
        data=_event_data(logged),
        sentence=f"{subject}: {event.type.replace('_', ' ')}{phase} by {event.actor_id}{reason}{overrode}",
    )


def _event_data(logged: LoggedEvent) -> Mapping[str, Any]:
    sequence, event = logged
    trigger = event.feature.trigger
    return {
        "type": event.type,
        "feature": str(event.feature.key),
        "trigger": trigger.id if trigger else None,
        "pipeline": trigger.pipeline.id if trigger else None,
        "status": trigger.status if trigger else None,
        "phase": event.phase_id,
        "actor": event.actor_id,
        "reason": event.reason,
        "overrode": list(event.overrode),
        "held": list(trigger.held) if trigger else [],
        "alert": event.alert or None,
        "guardrail": event.guardrail or None,
        "revision": sequence,
    }


def notification_of_verdict(sequence: int, change: VerdictChanged, pipeline: str | None) -> Notification:
    """Return the notification of a guardrail whose verdict changed."""
    action = f" ({change.action})" if change.action else ""
    guardrail = f"guardrail {change.guardrail} is {change.verdict}{action}"
    return Notification(
        id=f"verdicts-{sequence}",
        event=VERDICT,
        time_ms=change.time_ms,
        subject=change.trigger,
        pipeline=pipeline,
        data=change.to_jsonable(),
        sentence=f"{change.trigger}: {guardrail}: {change.reason}",
    )


def is_wanted(receiver: Receiver, notification: Notification) -> bool:
    """Return whether a receiver subscribes to this event of this pipeline."""
    is_of_pipeline = receiver.pipelines is None or notification.pipeline in receiver.pipelines
    return notification.event in receiver.events and is_of_pipeline


def is_wanted_type(receiver: Receiver, ce_type: str | None) -> bool:
    """Return whether a receiver may subscribe to a message with this header; without one, its body tells."""
    return ce_type is None or ce_type.removeprefix(TYPE_PREFIX) in receiver.events


def webhook_request(receiver: Receiver, notification: Notification, now_seconds: int) -> WebhookRequest:
    """Return the request that sends a notification in the receiver's format, signed if it has a secret."""
    if receiver.form is NotificationFormat.SLACK:
        body = json.dumps({"text": _escaped(notification.sentence)}, ensure_ascii=False).encode()
        content_type = "application/json"
    else:
        body = json.dumps(cloud_event(notification), ensure_ascii=False).encode()
        content_type = "application/cloudevents+json; charset=utf-8"
    headers = {"Content-Type": content_type, "User-Agent": "Sluiceway"}
    if receiver.secret:
        headers |= signature_headers(receiver.secret.get_secret_value(), notification.id, now_seconds, body)
    return WebhookRequest(body, headers)


def cloud_event(notification: Notification) -> dict[str, Any]:
    """Return a notification as CloudEvents 1.0 in structured mode.

    Format: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    return {
        "specversion": "1.0",
        "id": notification.id,
        "type": TYPE_PREFIX + notification.event,
        "source": SOURCE,
        "subject": notification.subject,
        "time": envelope.rfc3339(notification.time_ms),
        "datacontenttype": "application/json",
        "data": notification.data,
    }


def signature_headers(secret: str, id_: str, now_seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove who sent a body, and when.

    A receiver verifies them with a library of https://www.standardwebhooks.com and the same secret.
    Format: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    time = datetime.fromtimestamp(now_seconds, UTC)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(now_seconds),
        "webhook-signature": Webhook(signing_key(secret)).sign(id_, time, body.decode()),
    }


def signing_key(secret: str) -> bytes:
    """Return the key of a secret: what `whsec_` and base64 stand for, or else the text itself.

    The libraries accept base64 only. A receiver with any other secret passes them the base64 of its text.
    """
    if secret.startswith(SECRET_PREFIX):
        encoded = secret.removeprefix(SECRET_PREFIX).rstrip("=")
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except ValueError:
            key = b""
        return key or secret.encode()
    return secret.encode()


def _escaped(text: str) -> str:
    """Return text in which Slack finds no mark-up."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
