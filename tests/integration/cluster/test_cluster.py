"""The cluster that the tests of this folder use: its servers can be killed, paused and made leaders."""

from pathlib import Path

import pytest
from nats.js.api import StreamConfig

from tests.support.clusters import cluster


async def test_a_stream_is_led_where_a_test_wants_it_with_all_that_it_has(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running, running.client() as client:
        js = client.jetstream()
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"], num_replicas=3))
        await js.publish("s.a", b"1")

        for server in running.servers:
            await running.wait_in_sync("S")
            await running.move_leader("S", to=server)

            assert await running.leader("S") is server
            assert (await js.get_last_msg("S", "s.a")).data == b"1"


async def test_a_paused_server_answers_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        server = running.servers[0]
        async with running.client(server) as client:
            server.pause()
            with pytest.raises(TimeoutError):
                await client.flush(timeout=1)
            server.resume()

            await client.flush()
