"""Every message of a subject that a stream still holds."""

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from ..errors import Unavailable
from .connection import REQUEST_TIMEOUT_SECONDS

BATCH = 500


async def history(
    js: JetStreamContext, stream: str, subject: str, *, after: int = 0
) -> list[tuple[int, bytes]]:
    """Return sequence and body of each message behind the sequence `after`, oldest first.

    `Unavailable` where it cannot be read.
    """
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE if after else DeliverPolicy.ALL,
        opt_start_seq=after + 1 if after else None,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30,
    )
    try:
        puller = await js.pull_subscribe(subject, stream=stream, config=config)
        try:
            left = (await puller.consumer_info()).num_pending or 0
            found: list[tuple[int, bytes]] = []
            while len(found) < left:
                batch = await puller.fetch(min(BATCH, left - len(found)), timeout=REQUEST_TIMEOUT_SECONDS)
                found += [(message.metadata.sequence.stream, message.data) for message in batch]
            return found
        finally:
            await puller.unsubscribe()
    except (NatsError, TimeoutError) as error:
        raise Unavailable(f"the stream {stream} cannot be read now") from error
