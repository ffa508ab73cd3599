"""The cluster that the tests of this folder use: its servers can be killed, paused and made leaders."""

from pathlib import Path

import pytest
from nats.js.api import StreamConfig

from tests.support.clusters import cluster


async def test_a_stream_is_led_where_a_test_wants_it_and_outlives_its_leader(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running, running.client() as client:
        js = client.jetstream()
        await js.add_stream(StreamConfig(name="S", subjects=["s.>"], num_replicas=3))
        first, second, third = running.servers
        await running.move_leader("S", to=second)
        await js.publish("s.a", b"1")
        await running.wait_in_sync("S")

        second.kill()

        assert await running.leader("S") in (first, third)
        async with running.client(first) as another:
            assert (await another.jetstream().get_last_msg("S", "s.a")).data == b"1"
        second.start()
        await running.wait_in_sync("S")


async def test_a_paused_server_answers_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as running:
        server = running.servers[0]
        async with running.client(server) as client:
            server.pause()
            with pytest.raises(TimeoutError):
                await client.flush(timeout=1)
            server.resume()

            await client.flush()
