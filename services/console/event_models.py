"""The few fields of FEATURES events that the console reads from history.

Decoding these skips the rest of an event, most of all the state: a whole log is read fast. Fields
that a publisher may leave out have defaults, so that an unusual event is still shown.
"""

from typing import Any

import msgspec


class EventPipeline(msgspec.Struct):
    """The pipeline of a trigger."""

    id: str = ""


class EventTrigger(msgspec.Struct, rename="camel"):
    """The trigger in the state after an event."""

    id: str = ""
    pipeline: EventPipeline = msgspec.field(default_factory=EventPipeline)
    status: str = ""
    created_ms: int = 0


class EventFeature(msgspec.Struct):
    """The state after an event."""

    trigger: EventTrigger | None = None


class PartialEvent(msgspec.Struct, rename="camel"):
    """An event of FEATURES without most of its state."""

    type: str
    time_ms: int
    actor_id: str = msgspec.field(name="actorID")
    feature: EventFeature = msgspec.field(default_factory=EventFeature)
    vouched_by: str | None = None
    reason: str | None = None
    phase_id: str | None = msgspec.field(name="phaseID", default=None)
    overrode: list[str] = []
    left_out: list[str] = []
    alert: dict[str, Any] = {}
    guardrail: dict[str, Any] = {}


_DECODER = msgspec.json.Decoder(PartialEvent)


def decode_event(data: bytes) -> PartialEvent:
    """Return an event; `msgspec.DecodeError` if the message is not one."""
    return _DECODER.decode(data)
