"""An alert, which anyone may publish, and its outcome."""

from typing import Annotated

from pydantic import Field, JsonValue

from .bounded_lists import at_most
from .identifiers import Label, TriggerId
from .models import WireEnum, WireModel

#: Bytes of one alert; a larger one is rejected.
ALERT_BYTES_MAX = 64 * 1024
LABELS_MAX = 100


class AlertStatus(WireEnum):
    """Only a firing alert has an effect."""

    FIRING = "firing"
    RESOLVED = "resolved"


class AlertOutcome(WireEnum):
    """The outcome of an alert."""

    #: a release was rolled back or paused, or somebody was notified
    MATCHED = "matched"
    #: no release that is out matches
    UNMATCHED = "unmatched"
    #: it fired before the candidate of the release that it is about was out; nothing was done
    BEFORE_RELEASE = "before_release"
    #: its source may take back none of the releases that it matches; nothing was done
    OUT_OF_SCOPE = "out_of_scope"
    RESOLVED = "resolved"
    #: the source left alerts out of a group; which ones is unknown
    TRUNCATED = "truncated"


class Alert(WireModel):
    """An alert that is firing or resolved.

    The labels `gate`, `dynamic_config`, `pipeline` and `region` name what it is about.
    """

    name: Label
    status: AlertStatus = AlertStatus.FIRING
    labels: Annotated[dict[str, str], Field(max_length=LABELS_MAX), at_most(LABELS_MAX)] = {}
    annotations: Annotated[dict[str, str], Field(max_length=LABELS_MAX), at_most(LABELS_MAX)] = {}
    #: When it started to fire: RFC 3339, or seconds or milliseconds since the epoch. Without it, or if it is
    #: anything else: when its message was stored. An alert that started before a release rolls nothing back.
    starts_at: JsonValue = None
    #: With `startsAt` it identifies the firing. Absent: each message is a separate firing.
    fingerprint: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    #: The address of the alert at its source.
    url: str | None = None


class AnsweredAlert(WireModel):
    """An alert, and its outcome."""

    alert: Alert
    source: str
    #: Sequence and time of its message in ALERTS; 0 for alerts that were left out, which have none.
    sequence: int
    time_ms: int
    outcome: AlertOutcome
    #: The releases that it matched.
    triggers: tuple[TriggerId, ...] = ()
    #: How many alerts were left out of the group that has these labels; 0 if nobody knows.
    left_out: int = 0
    #: The releases that it is about by its labels, but whose candidates came only after it had started.
    later_triggers: tuple[TriggerId, ...] = ()
    #: How many more releases there are than those in the lists.
    unlisted: int = 0
    #: The releases that it is about by its labels, but that its source may not take back; see `AlertSource`.
    triggers_out_of_scope: tuple[TriggerId, ...] = ()
