"""How large the streams with a limit become: in fixed proportions, by what JetStream offers.

JetStream sets the whole `max_bytes` of a stream aside when it is created, and refuses what it does not have.
Half of what it offers is left for the streams without a limit: features, rules and the catalogue.
"""

import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import NamedTuple

from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError

from ..contracts import subjects

log = logging.getLogger(__name__)

MIB = 2**20
#: A stream that exists for a moment only, to learn how much JetStream sets aside.
RESERVATION_STREAM = f"{subjects.PROBES_STREAM}_RESERVATION"
#: What JetStream has to offer for each byte of a stream with a limit.
OFFERED_PER_BYTE = 2
#: The largest sizes divided by these are tried, until they fit.
DIVISORS = tuple(2**n for n in range(10))
#: JetStream's error codes for: more than the account, the server, a stream or any peer of a cluster has.
NO_SPACE = frozenset((10002, 10005, 10028, 10047, 10122))


class StreamSize(NamedTuple):
    """Limits of a stream's `max_bytes`."""

    largest: int
    smallest: int


#: Every stream with a limit.
SIZES: Mapping[str, StreamSize] = {
    subjects.ALERTS_STREAM: StreamSize(256 * MIB, 6 * MIB),
    subjects.MEASUREMENTS_STREAM: StreamSize(2_048 * MIB, 4 * MIB),
    subjects.VERDICTS_STREAM: StreamSize(256 * MIB, 4 * MIB),
    subjects.DEAD_LETTERS_STREAM: StreamSize(256 * MIB, 4 * MIB),
    subjects.AUDIT_STREAM: StreamSize(256 * MIB, 4 * MIB),
    # 50 sessions that were ended of each of a thousand users, and more. Nothing is removed for new ones.
    subjects.SESSIONS_STREAM: StreamSize(32 * MIB, 2 * MIB),
    # 16 reports of each of 10,000 instances, and more. They are repeated, and expire after a minute.
    subjects.APPLIED_STREAM: StreamSize(256 * MIB, 4 * MIB),
}
LARGEST: Mapping[str, int] = {name: size.largest for name, size in SIZES.items()}


class NoSpace(Exception):
    """JetStream does not offer enough for the smallest streams."""


async def fitting_sizes(js: JetStreamContext, missing: Collection[str], replicas: int) -> Mapping[str, int]:
    """Return the `max_bytes` of each missing stream that has a limit; `NoSpace` if they cannot be created."""
    limited = [name for name in SIZES if name in missing]
    sizes: dict[str, int] = {}
    for divisor in DIVISORS if limited else ():
        sizes = {name: max(SIZES[name].smallest, SIZES[name].largest // divisor) for name in limited}
        if await _can_reserve(js, OFFERED_PER_BYTE * sum(sizes.values()), replicas):
            log.info("streams get 1/%s of their largest size: %s", divisor, _described(sizes))
            return sizes
    if limited:
        needed = OFFERED_PER_BYTE * sum(sizes.values()) // MIB
        raise NoSpace(
            f"JetStream offers less than the {needed} MiB that the streams {', '.join(limited)} need at "
            "least: give it a larger disk, or raise max_file_store of the broker or the limits of the account"
        )
    return {}


def _described(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size // MIB} MiB" for name, size in sizes.items())


async def _can_reserve(js: JetStreamContext, max_bytes: int, replicas: int) -> bool:
    """Return whether JetStream would set so much aside now."""
    probe = StreamConfig(
        name=RESERVATION_STREAM,
        subjects=[subjects.reservation_probe()],
        num_replicas=replicas,
        max_bytes=max_bytes,
    )
    with contextlib.suppress(NotFoundError):  # a process that was killed here has left it
        await js.delete_stream(RESERVATION_STREAM)
    try:
        await js.add_stream(probe)
    except APIError as error:
        if error.err_code in NO_SPACE:
            return False
        raise
    with contextlib.suppress(NotFoundError):  # another scheduler starts as well
        await js.delete_stream(RESERVATION_STREAM)
    return True
