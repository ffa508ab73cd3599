"""How the streams of rules are declared in a cluster."""

import asyncio
from pathlib import Path

from sluiceway.messaging.connection import connected
from sluiceway.messaging.rules_declaration import RulesDeclaration
from sluiceway.messaging.rules_streams import RulesStreams
from sluiceway.messaging.streams import declare, rules_config
from sluiceway.settings import BrokerSettings
from tests.support.clusters import SERVERS, cluster
from tests.support.rules_streams import assert_complete, save_regions

REGIONS = [f"region-{number}" for number in range(10)]


async def test_rules_are_spread_over_replicated_streams_by_two_schedulers_at_once(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        settings = BrokerSettings(nats_url=running.url)
        async with connected(settings, "first") as first, connected(settings, "second") as second:
            await declare(first.js, SERVERS)
            await save_regions(first, REGIONS)
            for count in (4, 2):
                await asyncio.gather(
                    *(declare(connection.js, SERVERS, rules_streams=count) for connection in (first, second))
                )
                await assert_complete(first, count, REGIONS)

            await save_regions(second, ["new"])
            assert await RulesDeclaration(first.js, rules_config(SERVERS)).complete()

            await assert_complete(second, 2, [*REGIONS, "new"])
            for name in RulesStreams(2).names:
                assert (await first.js.stream_info(name)).config.num_replicas == SERVERS
