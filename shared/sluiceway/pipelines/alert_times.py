"""When an alert started to fire, as far as its release is concerned."""

import math

from pydantic import JsonValue

from ..contracts.alerts import Alert
from ..evaluation.times import SECONDS_BELOW, parse_time

#: Clocks that are synchronised differ by less than this. An alert that started less than this before the
#: candidate was out counts as one about it: a rollback too many is safe, one too few is not.
CLOCKS_DIFFER_MS = 100
SECOND_MS = 1_000


def started_ms(alert: Alert, received_ms: int) -> int:
    """Return when an alert started at the latest, in milliseconds since the epoch.

    `received_ms` is the time of its message: no alert starts after it arrived, whatever the clock of its
    source says, and one without a readable `startsAt` started then. A time in whole seconds stands for all
    of its second.
    """
    stated_ms = _stated_ms(alert.starts_at)
    if stated_ms is None or stated_ms <= 0:  # the zero time of Go, for example, means no time
        return received_ms
    if stated_ms % SECOND_MS == 0:
        stated_ms += SECOND_MS - 1
    return min(stated_ms, received_ms)


def is_before(alert: Alert, received_ms: int, released_ms: int) -> bool:
    """Return whether an alert fired already when the candidate arrived at what the alert is about."""
    return started_ms(alert, received_ms) + CLOCKS_DIFFER_MS < released_ms


def _stated_ms(starts_at: JsonValue) -> int | None:
    """Return the time that a source wrote: RFC 3339, or seconds or milliseconds since the epoch."""
    if isinstance(starts_at, str):
        return parse_time(starts_at.strip())
    if isinstance(starts_at, bool) or not isinstance(starts_at, int | float):
        return None
    if isinstance(starts_at, float) and not math.isfinite(starts_at):  # an int may be too large to ask
        return None
    return int(starts_at * SECOND_MS if abs(starts_at) < SECONDS_BELOW else starts_at)
