"""What proves that a stream is still the one that was followed.

A stream that was restored from an older copy ends before the last record that was delivered, or holds another
message there. What is followed may also have been moved to another stream.
"""

import logging
from typing import NamedTuple

from nats.js.api import StreamInfo

from ..telemetry import metrics
from .stream_records import Position, Record

log = logging.getLogger(__name__)

#: In `Position.created`, before the share of a stream.
SHARE = "@"


class StreamPlace(NamedTuple):
    """The stream that holds what is followed."""

    stream: str
    #: Its share, if what is followed is spread over several streams: `<number>/<of how many>`.
    share: str = ""


class StreamState(NamedTuple):
    """When a stream was created, and its last sequence now."""

    created: str
    last: int

    @classmethod
    def of(cls, place: StreamPlace, info: StreamInfo) -> "StreamState":
        """Read what the broker says of a stream. A share is part of `created`, so that positions tell it."""
        created = str(info.created)
        return cls(f"{created}{SHARE}{place.share}" if place.share else created, info.state.last_seq)


class LostPlace(NamedTuple):
    """Why following cannot go on after a position, so that the stream is read from the start."""

    why: str
    #: Whether the stream is known to hold another history.
    went_back: bool = False
    #: The last message of the old history that this process had read or stored.
    known: int = 0
    #: How many messages the new history is shorter.
    lost: int | None = None


def lost_in_stream(position: Position, stored: int, state: StreamState) -> LostPlace | None:
    """Return why a stream cannot be the one that was followed to `position`, or None.

    `stored`: the last sequence that the broker has acknowledged to this process.
    """
    known = max(position.sequence, stored)
    if position.created and _share(position.created) != _share(state.created):
        return LostPlace("what is followed was moved there")
    if position.sequence and position.created != state.created:
        return LostPlace("it was recreated", went_back=True, known=position.sequence)
    if position.created and position.created != state.created:
        return LostPlace("it was recreated, and nothing of it had been read")
    if state.last < known:
        return LostPlace(
            f"it ends at message {state.last}", went_back=True, known=known, lost=known - state.last
        )
    if position.sequence and not position.time_ms:
        return LostPlace("an older version did not store what tells histories apart")
    return None


def _share(created: str) -> str:
    return created.partition(SHARE)[2]


def lost_at_record(position: Position, record: Record) -> LostPlace | None:
    """Return why the first record that a consumer delivers is not the one at `position`; None if it is."""
    if record.sequence != position.sequence:
        return lost_record(position)
    if record.time_ms != position.time_ms:
        return LostPlace("it holds another message there", went_back=True, known=position.sequence)
    return None


def lost_record(position: Position) -> LostPlace:
    """Return that the record at `position` was removed."""
    return LostPlace(f"message {position.sequence} is not there any more")


def report_lost_place(stream: str, lost: LostPlace) -> None:
    """Log why a stream is read from the start; count it if the stream went back."""
    if not lost.went_back:
        log.info("reading the stream %s from the start: %s", stream, lost.why)
        return
    metrics.HISTORY_BREAKS.labels(stream).inc()
    metrics.HISTORY_LOST.labels(stream).set(lost.lost or 0)
    log.error(
        "the stream %s went back: %s; this process had read or stored message %s%s; "
        "reading it from the start",
        stream,
        lost.why,
        lost.known,
        "" if lost.lost is None else f", {lost.lost} messages later",
    )
