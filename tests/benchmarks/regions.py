"""`python -m tests.benchmarks.regions URL REGIONS`: subscribers; says when rules are in the last region.

Each has a `RegionClient` of its own, which reports what it has applied, as an edge does.
"""

import asyncio
import sys
from contextlib import AsyncExitStack

from sluiceway.client.region_client import RegionClient
from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts.applied_reports import AppliedChange
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings

from .arrivals import CONNECTIONS_MAX, Arrivals
from .lines import say


def region_name(number: int) -> str:
    return f"r{number}"


async def main(url: str, regions: int) -> None:
    arrivals, settings = Arrivals(regions), BrokerSettings(nats_url=url)
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(connected(settings, f"regions-{n}"))
            for n in range(min(regions, CONNECTIONS_MAX))
        ]
        clients = [
            RegionClient(connections[n % len(connections)], _rules(arrivals, n), instance="bench")
            for n in range(regions)
        ]
        for client in clients:
            await stack.enter_async_context(client)
        for client in clients:
            await client.caught_up()
        say("ready")
        await asyncio.Event().wait()


def _rules(arrivals: Arrivals, number: int) -> RegionRules:
    def note(change: AppliedChange) -> None:
        arrivals.note(number, change.revision)

    rules = RegionRules(region_name(number))
    rules.on_applied = note
    return rules


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
