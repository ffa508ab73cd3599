"""`python -m tests.benchmarks.raw.publisher URL REGIONS DOCUMENT_BYTES`: event → one put per region."""

import asyncio
import sys

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from ..lines import say
from . import streams


class Publisher:
    """Puts a document that begins with the sequence of its event, conditionally, into each region."""

    def __init__(self, js: JetStreamContext, regions: int, document_bytes: int) -> None:
        self._js = js
        self._regions = range(regions)
        self._document = b"d" * document_bytes
        self._last: dict[str, int] = {}

    async def publish(self, event: Msg) -> None:
        gate = event.subject.rpartition(".")[2]
        document = b"%d %b" % (event.metadata.sequence.stream, self._document)
        places = [streams.rules(region, gate) for region in self._regions]
        acks = [
            await self._js.publish_async(
                place, document, headers={streams.EXPECTED_LAST: str(self._last.get(place, 0))}
            )
            for place in places
        ]
        for place, ack in zip(places, await asyncio.gather(*acks), strict=True):
            self._last[place] = ack.seq


async def main(url: str, regions: int, document_bytes: int) -> None:
    client = await nats.connect(url)
    publisher = Publisher(client.jetstream(), regions, document_bytes)
    await client.jetstream().subscribe(
        streams.LOGS, stream=streams.LOG, ordered_consumer=True, cb=publisher.publish
    )
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
