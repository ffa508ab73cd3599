"""Declares every stream and bucket. The scheduler does so when it starts; the other services wait."""

import asyncio
import logging
from collections.abc import Callable

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from ..contracts import subjects
from ..errors import error_text
from .jetstream_api import API, request_jetstream

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
#: A report that is not repeated within this time belongs to a dead instance.
APPLIED_LIFETIME_SECONDS = 60
#: Reports kept of each instance, so that a reader misses none of them in a burst.
APPLIED_HISTORY = 64
CATALOG_HISTORY = 64
#: An Alertmanager repeats an alert while it fires; within this time, that is the same alert.
ALERT_REPEATS_SECONDS = DAY_SECONDS
PROBE_LIFETIME_SECONDS = 600
#: A stream that exists for a moment only.
SPACE_STREAM = f"{subjects.PROBES_STREAM}_SPACE"
#: So much must fit into the store before it counts as having space again; and within this time.
SPACE_BYTES = 256 * 1024
SPACE_SECONDS = 0.6
#: Rounds kept of each guardrail of a trigger.
ROUNDS_KEPT = 200
RETRY_SECONDS = 0.5


def streams(replicas: int) -> tuple[StreamConfig, ...]:
    """Return the configuration of every stream; a bucket is a stream named `KV_…`."""
    return (
        StreamConfig(
            name=subjects.FEATURES_STREAM,
            subjects=[subjects.FEATURES],
            num_replicas=replicas,
            allow_direct=True,
            deny_delete=True,
            deny_purge=True,
        ),
        StreamConfig(
            name=subjects.ALERTS_STREAM,
            subjects=[subjects.ALERTS],
            num_replicas=replicas,
            max_age=7 * DAY_SECONDS,
            max_bytes=256 * 2**20,
            duplicate_window=ALERT_REPEATS_SECONDS,
        ),
        StreamConfig(
            name=subjects.MEASUREMENTS_STREAM,
            subjects=[subjects.MEASUREMENTS],
            num_replicas=replicas,
            max_age=7 * DAY_SECONDS,
            max_bytes=2 * 2**30,
            max_msgs_per_subject=ROUNDS_KEPT,
            allow_direct=True,
        ),
        StreamConfig(
            name=subjects.VERDICTS_STREAM,
            subjects=[subjects.VERDICTS, subjects.ANSWERED_ALERTS],
            num_replicas=replicas,
            max_age=30 * DAY_SECONDS,
            max_bytes=256 * 2**20,
        ),
        StreamConfig(
            name=subjects.DEAD_LETTERS_STREAM,
            subjects=[subjects.DEAD_LETTERS],
            num_replicas=replicas,
            max_age=30 * DAY_SECONDS,
            max_bytes=256 * 2**20,
        ),
        _probes(replicas),
        _bucket(subjects.CATALOG_STREAM, subjects.CATALOG, replicas, history=CATALOG_HISTORY),
        _bucket(subjects.RULES_STREAM, subjects.RULES, replicas, history=1),
        _bucket(
            subjects.APPLIED_STREAM,
            subjects.APPLIED,
            replicas,
            history=APPLIED_HISTORY,
            max_age=APPLIED_LIFETIME_SECONDS,
        ),
    )


def _probes(replicas: int) -> StreamConfig:
    return StreamConfig(
        name=subjects.PROBES_STREAM,
        subjects=[subjects.PROBES],
        num_replicas=replicas,
        max_msgs_per_subject=1,
        max_age=PROBE_LIFETIME_SECONDS,
    )


async def recreate_probes(js: JetStreamContext, replicas: int) -> None:
    """Create the stream of probes again if there is space: nats-server does not write to the old one.

    To delete the old one first would make room for a few probes on a disk that is still full.
    """
    try:
        if await _has_space(js):
            await js.delete_stream(subjects.PROBES_STREAM)
            await js.add_stream(_probes(replicas))
    except (NatsError, TimeoutError) as error:
        log.warning("cannot recreate the stream %s: %s", subjects.PROBES_STREAM, error_text(error))


async def _has_space(js: JetStreamContext) -> bool:
    """Return whether a new stream can store a large message."""
    await js.add_stream(StreamConfig(name=SPACE_STREAM, subjects=[subjects.space_probe()]))
    try:
        await js.publish(subjects.space_probe(), bytes(SPACE_BYTES), timeout=SPACE_SECONDS)
    except (NatsError, TimeoutError):
        return False
    finally:
        await js.delete_stream(SPACE_STREAM)
    return True


async def declare(
    js: JetStreamContext, replicas: int, on_wait: Callable[[str], None] = lambda reason: None
) -> None:
    """Create the missing streams; existing ones keep their settings, which belong to the operator.

    Except one: `Nats-Rollup` of a message deletes all others of its subject or stream, which nobody needs.
    Waits until JetStream is ready, and calls `on_wait` with the reason.
    """
    for config in streams(replicas):
        await _create(js, config, on_wait)
        await _disallow_rollup(js, str(config.name))


async def _create(js: JetStreamContext, config: StreamConfig, on_wait: Callable[[str], None]) -> None:
    while True:
        try:
            await js.stream_info(str(config.name))
            return
        except NotFoundError:
            log.info("creating the stream %s", config.name)
        except (NatsError, TimeoutError) as error:
            log.warning("JetStream is not ready, trying again: %s", error_text(error))
            on_wait(error_text(error))
            await asyncio.sleep(RETRY_SECONDS)
            continue
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            log.warning("cannot create the stream %s, trying again: %s", config.name, error.description)
            on_wait(f"cannot create {config.name}: {error.description}")
            await asyncio.sleep(RETRY_SECONDS)
        except (NatsError, TimeoutError) as error:
            log.warning("JetStream is not ready, trying again: %s", error_text(error))
            on_wait(error_text(error))


async def _disallow_rollup(js: JetStreamContext, stream: str) -> None:
    """Have an existing stream ignore what versions before allowed; every other setting stays as it is."""
    try:
        config = (await request_jetstream(js._nc, f"{API}.STREAM.INFO.{stream}"))["config"]
        if not config.get("allow_rollup_hdrs"):
            return
        log.info("the stream %s no longer allows Nats-Rollup", stream)
        update = {**config, "allow_rollup_hdrs": False}
        await request_jetstream(js._nc, f"{API}.STREAM.UPDATE.{stream}", update)
    except (NatsError, TimeoutError, LookupError) as error:
        log.warning("the stream %s may still allow Nats-Rollup: %s", stream, error_text(error))


def _bucket(
    name: str, subject: str, replicas: int, *, history: int, max_age: float | None = None
) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=[subject],
        num_replicas=replicas,
        max_msgs_per_subject=history,
        max_age=max_age,
        discard=DiscardPolicy.OLD,
        allow_direct=True,
    )
