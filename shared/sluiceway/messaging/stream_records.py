"""A message of a stream as followers take it, and how far a stream was followed."""

from collections.abc import Mapping
from typing import NamedTuple

from .publishing import DELETIONS, KV_OPERATION


class Record(NamedTuple):
    """One message of a stream."""

    subject: str
    sequence: int
    time_ms: int
    data: bytes
    headers: Mapping[str, str]

    @property
    def is_deletion(self) -> bool:
        """Whether it marks a key of a bucket as deleted."""
        return self.headers.get(KV_OPERATION) in DELETIONS


class Position(NamedTuple):
    """How far a stream was followed.

    `created` tells a recreated stream from the one before, and a share of what several streams hold from
    another. `time_ms`, when the broker stored the message
    at `sequence`, tells it from another message at the same sequence; 0 if unknown.
    """

    created: str
    sequence: int
    time_ms: int = 0


START = Position("", 0)


class DeliveryInfo(NamedTuple):
    """What the broker says of a message that a consumer delivers."""

    stream_sequence: int
    consumer_sequence: int
    time_ms: int
    pending: int

    @classmethod
    def of(cls, reply: str) -> "DeliveryInfo":
        """Read `$JS.ACK.[<domain>.<hash>.]<stream>.<consumer>.<n>.<sseq>.<cseq>.<ns>.<pending>[.<token>]`."""
        tokens = reply.split(".")
        at = 5 if len(tokens) == 9 else 7
        stream, consumer, nanoseconds = int(tokens[at]), int(tokens[at + 1]), int(tokens[at + 2])
        return cls(stream, consumer, nanoseconds // 1_000_000, int(tokens[at + 3]))
