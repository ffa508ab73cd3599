"""Several streams of rules, as the broker has them, and regions for them."""

from collections.abc import Sequence

from sluiceway.contracts import subjects
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.jetstream_api import request_jetstream
from sluiceway.messaging.rules_streams import RulesStreams, read_rules_streams


async def save_regions(connection: Connection, regions: Sequence[str]) -> None:
    for region in regions:
        await connection.js.publish(subjects.catalogue("region", region), b"{}")


async def set_metadata(connection: Connection, metadata: dict[str, str]) -> None:
    """Replace what the first stream says, as `nats stream edit` may."""
    info = f"$JS.API.STREAM.INFO.{subjects.RULES_STREAM}"
    config = (await request_jetstream(connection.client, info))["config"]
    changed = {**config, "metadata": metadata}
    await request_jetstream(connection.client, info.replace("INFO", "UPDATE"), changed)


async def stored(connection: Connection) -> dict[str, set[str]]:
    """Return the streams of rules, with their subjects."""
    request = {"subject": subjects.RULES}
    names = (await request_jetstream(connection.client, "$JS.API.STREAM.NAMES", request))["streams"]
    configs = [(await connection.js.stream_info(name)).config for name in names]
    return {str(config.name): set(config.subjects or []) for config in configs}


async def assert_complete(connection: Connection, count: int, regions: Sequence[str]) -> None:
    """Whoever reads the number finds each region in its stream, and a message is stored there."""
    streams = RulesStreams(count)
    assert await read_rules_streams(connection.replies) == streams
    assert await stored(connection) == {
        name: set(streams.subjects(group, regions)) for group, name in enumerate(streams.names)
    }
    for region in regions:
        ack = await connection.js.publish(subjects.complete_set(region), b"{}")
        assert ack.stream == streams.of(region)
