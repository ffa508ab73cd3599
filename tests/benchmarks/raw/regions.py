"""`python -m tests.benchmarks.raw.regions URL REGIONS GATE`: says when a document is in the last of them."""

import asyncio
import sys
from functools import partial

import nats
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from ..arrivals import CONNECTIONS_MAX, Arrivals
from ..lines import say
from . import streams


async def main(url: str, regions: int, gate: str) -> None:
    arrivals = Arrivals(regions)
    clients = [await nats.connect(url) for _ in range(min(regions, CONNECTIONS_MAX))]
    for region in range(regions):
        await (
            clients[region % len(clients)]
            .jetstream()
            .subscribe(
                streams.rules(region, gate),
                stream=streams.RULES,
                ordered_consumer=True,
                deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
                cb=partial(_receive, arrivals, region),
            )
        )
    say("ready")
    await asyncio.Event().wait()


async def _receive(arrivals: Arrivals, region: int, document: Msg) -> None:
    arrivals.note(region, int(document.data.split(maxsplit=1)[0]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
