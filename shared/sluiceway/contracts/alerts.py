"""An alert, as anyone may publish it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue

from .identifiers import Label, TriggerId
from .models import WireModel

#: Bytes of one alert; a larger one is rejected.
ALERT_BYTES_MAX = 64 * 1024


class AlertStatus(StrEnum):
    """Only a firing alert rolls back; a resolved one proves nothing."""

    FIRING = "firing"
    RESOLVED = "resolved"


class AlertOutcome(StrEnum):
    """What became of an alert."""

    #: a release was rolled back, paused, or somebody notified
    MATCHED = "matched"
    #: it is about no release that is out
    UNMATCHED = "unmatched"
    #: it came before the release that it names began
    BEFORE_RELEASE = "before_release"
    RESOLVED = "resolved"


class Alert(WireModel):
    """This is firing (or no longer), with these labels.

    The labels `gate`, `dynamic_config`, `pipeline` and `region` say what it is about.
    """

    name: Label
    status: AlertStatus = AlertStatus.FIRING
    labels: Annotated[dict[str, str], Field(max_length=100)] = {}
    annotations: Annotated[dict[str, str], Field(max_length=100)] = {}
    #: Since when it fires, as the source states it.
    starts_at: JsonValue = None
    #: With `startsAt` it tells one firing from another; absent: each message is a firing of its own.
    fingerprint: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    #: Where one can look at it.
    url: str | None = None


class AnsweredAlert(WireModel):
    """An alert, and what became of it."""

    alert: Alert
    source: str
    #: Sequence of its message in ALERTS, and when that came.
    sequence: int
    time_ms: int
    outcome: AlertOutcome
    #: The releases that it was about.
    triggers: tuple[TriggerId, ...] = ()
