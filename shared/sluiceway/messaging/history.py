"""Every message of a subject that a stream still holds."""

import contextlib
from collections.abc import AsyncIterator

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from ..errors import Unavailable
from .connection import REQUEST_TIMEOUT_SECONDS
from .stream_follower import Record

BATCH = 500


async def read_history(
    js: JetStreamContext, stream: str, subject: str, *, after: int = 0
) -> list[tuple[int, bytes]]:
    """Return sequence and body of each message behind the sequence `after`, oldest first.

    `Unavailable` where it cannot be read.
    """
    return [(record.sequence, record.data) async for record in read_records(js, stream, subject, after=after)]


async def read_records(
    js: JetStreamContext, stream: str, subject: str, *, after: int = 0, until: int | None = None
) -> AsyncIterator[Record]:
    """Give each message behind `after`, up to `until` or to what the stream holds now, oldest first.

    Some hundreds are in memory at a time. `Unavailable` where it cannot be read.
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
                    place = message.metadata.sequence.stream
                    if until is not None and place > until:
                        return
                    time_ms = int(message.metadata.timestamp.timestamp() * 1_000)
                    yield Record(message.subject, place, time_ms, message.data, message.headers or {})
        finally:
            await puller.unsubscribe()
            with contextlib.suppress(NatsError, TimeoutError):  # else the server forgets it after a while
                await js.delete_consumer(stream, info.name)
    except (NatsError, TimeoutError) as error:
        raise Unavailable(f"the stream {stream} cannot be read now") from error
