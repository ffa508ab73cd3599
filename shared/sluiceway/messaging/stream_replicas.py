"""How many replicas streams have: as many as the setting says, or as the cluster of brokers suggests.

Replicas are added while a stream is in use. They are never taken away: an operator who wants fewer does that.
"""

import contextlib
import logging
from collections.abc import Mapping

from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError
from pydantic import JsonValue

from ..contracts import subjects
from .jetstream_api import API, request_jetstream

log = logging.getLogger(__name__)

SETTING = "SLUICEWAY_STREAM_REPLICAS"
NUM_REPLICAS = "num_replicas"
#: On a cluster of as many brokers, or more, a stream outlives any one of them.
REPLICAS_OF_CLUSTER = 3
#: A stream that exists for a moment only: it shows whether the brokers take so many replicas.
PLACEMENT_STREAM = f"{subjects.PROBES_STREAM}_PLACEMENT"
PLACEMENT_BYTES = 1024
#: Error codes of a stream that cannot be placed: not enough brokers are up, they offer too little space, and
#: the broker is not a member of a cluster.
NOT_PLACED = frozenset((10005, 10023, 10074))


async def choose_replicas(js: JetStreamContext, wanted: int | None) -> int:
    """Return how many replicas streams are to have; log which number it is, and why.

    Without `wanted`: as many as FEATURES has if it has several, else three if the brokers take them, or one.
    What the brokers take is tried out: no answer to an ordinary user tells how many of them store streams.
    Raises nats-py's errors while JetStream does not answer.
    """
    if wanted is not None:
        return _chosen(wanted, f"{SETTING} says so")
    if (existing := await _existing_replicas(js)) > 1:
        return _chosen(existing, f"the stream {subjects.FEATURES_STREAM} has so many")
    name = js._nc._server_info.get("cluster")
    if name is None:
        return _chosen(1, "the broker is not a member of a cluster")
    if error := await _placement_error(js, REPLICAS_OF_CLUSTER):
        log.warning(
            "the cluster %s cannot store a stream on %s brokers now (%s), so a broker that is lost takes "
            "streams with it: start the scheduler again when as many are up, or set %s",
            name,
            REPLICAS_OF_CLUSTER,
            error,
            SETTING,
        )
        return _chosen(1, f"the cluster {name} takes no more")
    return _chosen(REPLICAS_OF_CLUSTER, f"the cluster {name} has as many brokers, or more")


async def match_replicas(js: JetStreamContext, stored: Mapping[str, JsonValue], wanted: int) -> None:
    """Add the replicas that an existing stream lacks; warn if it has more than are wanted.

    `stored`: all of its configuration. Raises nats-py's errors.
    """
    name, has = stored["name"], stored.get(NUM_REPLICAS)
    if not isinstance(has, int) or has == wanted:
        return
    if has < wanted:
        log.info("the stream %s gets %s replicas, it had %s", name, wanted, has)
        await request_jetstream(js._nc, f"{API}.STREAM.UPDATE.{name}", {**stored, NUM_REPLICAS: wanted})
        return
    log.warning(
        "the stream %s keeps its %s replicas, although %s were asked for: set %s=%s, or take replicas away "
        "with `nats stream edit %s --replicas=%s`",
        name,
        has,
        wanted,
        SETTING,
        has,
        name,
        wanted,
    )


def _chosen(replicas: int, why: str) -> int:
    log.info("streams have %s replicas: %s", replicas, why)
    return replicas


async def _existing_replicas(js: JetStreamContext) -> int:
    try:
        return (await js.stream_info(subjects.FEATURES_STREAM)).config.num_replicas or 1
    except NotFoundError:
        return 0


async def _placement_error(js: JetStreamContext, replicas: int) -> str | None:
    """Return why no stream with so many replicas can be created now; None if one can."""
    config = StreamConfig(
        name=PLACEMENT_STREAM, subjects=[PLACEMENT_STREAM], num_replicas=replicas, max_bytes=PLACEMENT_BYTES
    )
    try:
        await js.add_stream(config)
    except APIError as error:
        if error.err_code not in NOT_PLACED:
            raise
        return error.description or str(error.err_code)
    with contextlib.suppress(NotFoundError):  # another scheduler starts as well
        await js.delete_stream(PLACEMENT_STREAM)
    return None
