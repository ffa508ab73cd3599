"""Declares every stream and bucket. The scheduler does so when it starts; the other services wait."""

import asyncio
import logging

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from ..contracts import subjects
from ..errors import error_text

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400
#: A report that is not repeated within this time belongs to a dead instance.
APPLIED_LIFETIME_SECONDS = 60
#: Reports kept of each instance, so that a reader misses none of them in a burst.
APPLIED_HISTORY = 64
CATALOG_HISTORY = 64
#: An Alertmanager repeats an alert while it fires; within this time, that is the same alert.
ALERT_REPEATS_SECONDS = DAY_SECONDS
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


async def declare(js: JetStreamContext, replicas: int) -> None:
    """Create the missing streams; existing ones keep their settings, which belong to the operator.

    Waits until JetStream is ready.
    """
    for config in streams(replicas):
        await _create(js, config)


async def _create(js: JetStreamContext, config: StreamConfig) -> None:
    while True:
        try:
            await js.stream_info(str(config.name))
            return
        except NotFoundError:
            log.info("creating the stream %s", config.name)
        except (NatsError, TimeoutError) as error:
            log.warning("JetStream is not ready, trying again: %s", error_text(error))
            await asyncio.sleep(RETRY_SECONDS)
            continue
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            log.warning("cannot create the stream %s, trying again: %s", config.name, error.description)
            await asyncio.sleep(RETRY_SECONDS)
        except (NatsError, TimeoutError) as error:
            log.warning("JetStream is not ready, trying again: %s", error_text(error))


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
        allow_rollup_hdrs=True,
    )
