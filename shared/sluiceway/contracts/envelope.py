"""Headers of our messages: CloudEvents in the NATS binary binding, and a few of our own.

Format: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md
Our own headers repeat a part of the body, for consumers that need not parse it.
"""

from datetime import UTC, datetime
from functools import lru_cache

CE_SPECVERSION = "ce-specversion"
CE_TYPE = "ce-type"
CE_ID = "ce-id"
CE_TIME = "ce-time"
CE_SOURCE = "ce-source"
CE_SUBJECT = "ce-subject"
CONTENT_TYPE = "content-type"

#: FEATURES: status of the newest trigger; absent before the first.
STATUS = "Sluiceway-Status"
#: FEATURES: when the bake of the current phase ends, in ms; absent while no phase bakes.
DUE = "Sluiceway-Due"
#: FEATURES: until when a completed release may still be rolled back, in ms.
OBSERVED = "Sluiceway-Observed-Until"
#: FEATURES: the pipeline that the feature is attached to.
PIPELINE = "Sluiceway-Pipeline"
#: FEATURES: the pipeline of the active trigger.
RUNNING_PIPELINE = "Sluiceway-Running-Pipeline"
#: FEATURES: present if the feature is archived.
ARCHIVED = "Sluiceway-Archived"
#: FEATURES: the specs that the feature refers to, separated by spaces.
REFERENCES = "Sluiceway-References"
#: FEATURES: the version that a rollback of the completed release restores, and the specs that it refers to.
RESTORABLE = "Sluiceway-Restorable"
#: FEATURES: present if the feature is switched off and nothing else is being released.
SWITCHED_OFF = "Sluiceway-Switched-Off"
#: FEATURES: how many metric guardrails the newest trigger has, over all its phases.
METRIC_GUARDRAILS = "Sluiceway-Metric-Guardrails"
#: FEATURES: which alerts may concern the newest trigger; see `pipelines.alert_keys`.
ALERT_KEYS = "Sluiceway-Alert-Keys"
#: RULES: sequence of the event in FEATURES.
REVISION = "Sluiceway-Revision"
#: RULES: the epoch of the document, see `RuleDocument.epoch`, or of the mark. Older versions wrote no headers
#: of marks.
EPOCH = "Sluiceway-Epoch"
#: RULES: sequence of the region's document in CATALOG.
REGION_REVISION = "Sluiceway-Region-Revision"
#: RULES: digest of the document without its epoch, revision and time.
CHECKSUM = "Sluiceway-Checksum"
#: RULES: sequence of the first document of this key; absent in that document.
FIRST = "Sluiceway-First"
#: RULES: when the event happened, in ms.
EVENT_TIME = "Sluiceway-Event-Time"
#: CATALOG: who changed the document, and why.
ACTOR = "Sluiceway-Actor"
WHY = "Sluiceway-Reason"
#: CATALOG: who vouches for that actor; absent: nobody.
VOUCHED_BY = "Sluiceway-Vouched-By"
#: FEATURES and CATALOG: the command, and its sender; see `IdempotencyKey`. Older versions wrote it in CATALOG
#: only.
COMMAND = "Sluiceway-Command"
#: CATALOG: who created the document, and when, in ms; every change keeps them.
CREATOR = "Sluiceway-Creator"
CREATED = "Sluiceway-Created"
#: Commands from the console: for whom, so that the scheduler can tell people apart before it decodes.
ON_BEHALF_OF = "Sluiceway-On-Behalf-Of"
#: DEAD_LETTERS: why the message was rejected, and where it was published.
DEAD_REASON = "Sluiceway-Dead-Reason"
DEAD_SUBJECT = "Sluiceway-Dead-Subject"

#: Seconds whose text is remembered: many messages are written in one.
SECONDS_MAX = 16


def cloud_event(
    type_: str, *, id_: str, time_ms: int, source: str, subject: str | None = None
) -> dict[str, str]:
    """Return the CloudEvents headers of a JSON message."""
    headers = {
        CE_SPECVERSION: "1.0",
        CE_TYPE: type_,
        CE_ID: header_safe(id_),
        CE_TIME: rfc3339(time_ms),
        CE_SOURCE: header_safe(source),
        CONTENT_TYPE: "application/json",
    }
    return headers if subject is None else {**headers, CE_SUBJECT: subject}


def rfc3339(time_ms: int) -> str:
    """Return a time as `2026-11-23T18:49:36.123Z`."""
    seconds, milliseconds = divmod(time_ms, 1_000)
    return f"{_to_seconds(seconds)}.{milliseconds:03}Z"


@lru_cache(SECONDS_MAX)
def _to_seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def header_safe(text: str) -> str:
    """Return `text` as a header can hold it: one line of printable ASCII, cut at 500 characters."""
    return " ".join(text.encode("ascii", "replace").decode().split())[:500]
