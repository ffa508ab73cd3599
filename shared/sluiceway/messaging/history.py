"""Every message of a subject that a stream still has."""

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError

from ..errors import Unavailable, error_text
from .connection import REQUEST_TIMEOUT_SECONDS
from .message_size import CONTROL_LINE_BYTES_MAX
from .read_slots import PULLS
from .stream_records import Record

#: Messages asked for at a time.
BATCH = 500
#: Bytes asked for at a time, or one message: a broker closes a connection for which too much waits.
BATCH_BYTES = 4 * 1024 * 1024


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

    A few megabytes are in memory at a time. Raises `Unavailable` if the stream cannot be read, or if too
    many others read at the same time.
    """
    config = ConsumerConfig(
        filter_subject=subject,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE if after else DeliverPolicy.ALL,
        opt_start_seq=after + 1 if after else None,
    )
    async for record in _read(js, stream, config, after, until):
        yield record


async def read_headers(
    js: JetStreamContext, stream: str, subject: str, *, since_ms: int
) -> AsyncIterator[Record]:
    """Yield each message that was stored since a time of the broker's clock, without its body, oldest first.

    Raises `Unavailable` as `read_records` does.
    """
    since = datetime.fromtimestamp(since_ms / 1_000, UTC)
    config = ConsumerConfig(
        filter_subject=subject,
        deliver_policy=DeliverPolicy.BY_START_TIME,
        opt_start_time=since,
        headers_only=True,
    )
    async for record in _read(js, stream, config, 0, None):
        yield record


async def _read(
    js: JetStreamContext, stream: str, config: ConsumerConfig, after: int, until: int | None
) -> AsyncIterator[Record]:
    """Yield what a consumer with this configuration delivers, until the stream's current end."""
    client = js._nc
    config.name = client._nuid.next().decode()
    config.ack_policy, config.inactive_threshold = AckPolicy.NONE, 30
    try:
        info = await js.add_consumer(stream, config)
        puller = _Puller(client, f"{js._prefix}.CONSUMER.MSG.NEXT.{stream}.{info.name}")
        await puller.subscribe()
        try:
            left, last = info.num_pending or 0, after
            while left > 0 and (until is None or last < until):
                wanted = min(BATCH, left) if until is None else min(BATCH, left, until - last)
                batch = await puller.pull(wanted)
                left -= len(batch)
                for message in batch:
                    last = message.metadata.sequence.stream
                    if until is not None and last > until:
                        return
                    time_ms = int(message.metadata.timestamp.timestamp() * 1_000)
                    yield Record(message.subject, last, time_ms, message.data, message.headers or {})
        finally:
            await puller.unsubscribe()
            with contextlib.suppress(NatsError, TimeoutError):  # otherwise the broker removes it later
                await js.delete_consumer(stream, info.name)
    except (NatsError, TimeoutError) as error:
        raise Unavailable(f"cannot read the stream {stream}: {error_text(error)}") from error


class _Puller:
    """Pulls messages of a consumer, with a bound on their bytes that nats-py's own `fetch` does not have."""

    def __init__(self, client: Client, subject: str) -> None:
        """`subject`: where the consumer is asked for messages."""
        self._client = client
        self._subject = subject
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._pulls = 0

    async def subscribe(self) -> None:
        """Listen for messages, until `unsubscribe`."""
        self._subscription = await self._client.subscribe(f"{self._inbox}.*")

    async def unsubscribe(self) -> None:
        """Listen no more."""
        if self._subscription:
            await self._subscription.unsubscribe()

    async def pull(self, count: int) -> list[Msg]:
        """Return the next messages: `count` of them, or as many as `BATCH_BYTES` hold, and at least one."""
        async with PULLS.of(self._client):
            self._pulls += 1
            reply = f"{self._inbox}.{self._pulls}"
            await self._client.publish(self._subject, self._request(count), reply)
            return await self._receive(count, reply)

    def _request(self, count: int) -> bytes:
        largest = self._client.max_payload + 2 * CONTROL_LINE_BYTES_MAX  # the broker counts subjects too
        request = {
            "batch": count,
            "max_bytes": max(BATCH_BYTES, largest),
            "expires": int(REQUEST_TIMEOUT_SECONDS * 1_000_000_000),
        }
        return json.dumps(request).encode()

    async def _receive(self, count: int, reply: str) -> list[Msg]:
        assert self._subscription
        received: list[Msg] = []
        while len(received) < count:
            try:
                message = await self._subscription.next_msg(REQUEST_TIMEOUT_SECONDS)
            except TimeoutError:
                if received:  # the bytes were used up exactly: the broker says nothing then
                    break
                raise
            if JetStreamContext.is_status_msg(message) is None:
                received.append(message)
            elif message.subject != reply:
                continue  # the end of the pull before
            elif received:
                break  # as many as the bytes allow
            else:
                raise APIError.from_msg(message)
        return received
