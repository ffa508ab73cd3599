"""What happened → what a receiver is told: a CloudEvent, or a sentence."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sluiceway.contracts import envelope
from sluiceway.contracts.measurements import VerdictChanged
from sluiceway.messaging.feature_log import TYPE_PREFIX, LoggedEvent

from .receivers import VERDICT, NotificationFormat, Receiver

SECRET_PREFIX = "whsec_"  # noqa: S105 (it is what such a secret begins with)
SOURCE = "/sluiceway"


class Notice(NamedTuple):
    """One thing to tell."""

    id: str
    event: str
    time_ms: int
    #: The feature or trigger that it is about.
    subject: str
    pipeline: str | None
    data: Mapping[str, Any]
    sentence: str


def notice_of_event(logged: LoggedEvent) -> Notice:
    """Return what to tell of an event of the log."""
    sequence, event = logged
    trigger = event.feature.trigger
    subject = trigger.id if trigger and event.phase_id else str(event.feature.key)
    data = {
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
    phase = f" at phase {event.phase_id}" if event.phase_id else ""
    reason = f": {event.reason}" if event.reason else ""
    overrode = f" (overrode freeze {', '.join(event.overrode)})" if event.overrode else ""
    words = event.type.replace("_", " ")
    return Notice(
        f"features-{sequence}",
        event.type,
        event.time_ms,
        subject,
        trigger.pipeline.id if trigger else event.feature.release_pipeline_id,
        data,
        f"{subject}: {words}{phase} by {event.actor_id}{reason}{overrode}",
    )


def notice_of_verdict(sequence: int, change: VerdictChanged, pipeline: str | None) -> Notice:
    """Return what to tell of a guardrail that says something else than before."""
    action = f" ({change.action})" if change.action else ""
    return Notice(
        f"verdicts-{sequence}",
        VERDICT,
        change.time_ms,
        change.trigger,
        pipeline,
        change.to_jsonable(),
        f"{change.trigger}: guardrail {change.guardrail} is {change.verdict}{action}: {change.reason}",
    )


def concerns(receiver: Receiver, notice: Notice) -> bool:
    """Say whether a receiver wants to hear of this."""
    is_wanted = notice.event in receiver.events
    return is_wanted and (receiver.pipelines is None or notice.pipeline in receiver.pipelines)


def message_of(receiver: Receiver, notice: Notice, now_seconds: int) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the request that tells it."""
    if receiver.form is NotificationFormat.SLACK:
        body = json.dumps({"text": _escaped(notice.sentence)}, ensure_ascii=False).encode()
        content_type = "application/json"
    else:
        body = json.dumps(cloud_event(notice), ensure_ascii=False).encode()
        content_type = "application/cloudevents+json; charset=utf-8"
    headers = {"Content-Type": content_type, "User-Agent": "Sluiceway"}
    if receiver.secret:
        headers |= signature(receiver.secret.get_secret_value(), notice.id, now_seconds, body)
    return body, headers


def cloud_event(notice: Notice) -> dict[str, Any]:
    """Return a notice as CloudEvents 1.0 in structured mode.

    Format: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
    """
    return {
        "specversion": "1.0",
        "id": notice.id,
        "type": TYPE_PREFIX + notice.event,
        "source": SOURCE,
        "subject": notice.subject,
        "time": envelope.rfc3339(notice.time_ms),
        "datacontenttype": "application/json",
        "data": notice.data,
    }


def signature(secret: str, id_: str, now_seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers that prove who sent a body, and when.

    Format: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    signed = b".".join((id_.encode(), str(now_seconds).encode(), body))
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(now_seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _key(secret: str) -> bytes:
    if secret.startswith(SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def _escaped(text: str) -> str:
    """Return text in which Slack finds no mark-up."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
