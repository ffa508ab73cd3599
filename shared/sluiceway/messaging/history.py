"""Every message of a subject that a stream still has."""

import contextlib
from collections.abc import AsyncIterator

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from ..errors import Unavailable, error_text
from .connection import REQUEST_TIMEOUT_SECONDS
from .stream_follower import Record

BATCH = 500


async def read_history(
    js: JetStreamContext, stream: str, subject: str, *, after: int = 0
) -> list[tuple[int, bytes]]:
    """Return sequence and body of each message after the sequence `after`, oldest first.

    Raises `Unavailable` if the stream cannot be read.
    """
    return [(record.sequence, record.data) async for record in read_records(js, stream, subject, after=after)]


async def read_records(
    js: JetStreamContext, stream: str, subject: str, *, after: int = 0, until: int | None = None
) -> AsyncIterator[Record]:
    """Yield each message after `after`, up to `until` or to the stream's current end, oldest first.

    A few hundred are in memory at a time. Raises `Unavailable` if the stream cannot be read.
    """
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE if after else DeliverPolicy.ALL,
        opt_start_seq=after + 1 if after else None,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30,
    )
    try:
        puller = await js.pull_subscribe(subject, stream=stream, config=config)
        info = await puller.consumer_info()
        try:
            left = info.num_pending or 0
            while left > 0:
                batch = await puller.fetch(min(BATCH, left), timeout=REQUEST_TIMEOUT_SECONDS)
                left -= len(batch)
                for message in batch:
                    sequence = message.metadata.sequence.stream
                    if until is not None and sequence > until:
                        return
                    time_ms = int(message.metadata.timestamp.timestamp() * 1_000)
                    yield Record(message.subject, sequence, time_ms, message.data, message.headers or {})
        finally:
            await puller.unsubscribe()
            with contextlib.suppress(NatsError, TimeoutError):  # otherwise the broker removes it later
                await js.delete_consumer(stream, info.name)
    except (NatsError, TimeoutError) as error:
        raise Unavailable(f"cannot read the stream {stream}: {error_text(error)}") from error
