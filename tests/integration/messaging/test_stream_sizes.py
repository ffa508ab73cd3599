"""How large streams become on a real nats-server that offers much, little, or too little."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nats
import pytest
from nats.js import JetStreamContext

from services.local.broker import EmbeddedBroker
from sluiceway.contracts import subjects
from sluiceway.messaging.stream_sizes import MIB, RESERVATION_STREAM, SIZES
from sluiceway.messaging.streams import declare, streams
from tests.support.brokers import Broker
from tests.support.waiting import eventually

#: What version 0.9 declared.
OLD_ALERTS = {
    "name": "ALERTS",
    "subjects": ["sluiceway.alerts.>"],
    "retention": "limits",
    "storage": "file",
    "max_age": 7 * 86_400 * 10**9,
    "max_bytes": 32 * MIB,
    "duplicate_window": 86_400 * 10**9,
}
OLD_DEAD_LETTERS = {"name": "DEAD_LETTERS", "subjects": ["sluiceway.dead_letters.*"], "max_bytes": 16 * MIB}


@contextmanager
def limited_broker(folder: Path, mebibytes: int) -> Iterator[EmbeddedBroker]:
    config = folder / "nats.conf"
    store = {"store_dir": str(folder / "store"), "max_file_store": mebibytes * MIB}
    config.write_text(json.dumps({"jetstream": store}))
    with EmbeddedBroker(folder, config=config) as broker:
        yield broker


async def sizes_of(js: JetStreamContext) -> dict[str, int]:
    return {name: (await js.stream_info(name)).config.max_bytes or 0 for name in SIZES}


async def create(js: JetStreamContext, config: dict[str, object]) -> None:
    await js._api_request(f"$JS.API.STREAM.CREATE.{config['name']}", json.dumps(config).encode())


@pytest.mark.parametrize("mebibytes", [64, 300, 2_048, 8_192])
async def test_streams_reserve_at_most_half_of_what_there_is(tmp_path: Path, mebibytes: int) -> None:
    with limited_broker(tmp_path, mebibytes) as broker:
        client = await nats.connect(broker.url)
        js = client.jetstream()

        await declare(js, 1)

        sizes = await sizes_of(js)
        assert mebibytes * MIB / 8 <= sum(sizes.values()) <= mebibytes * MIB / 2
        assert all(SIZES[name].smallest <= size <= SIZES[name].largest for name, size in sizes.items())
        names = {config.name for config in streams(1)}
        assert {info.config.name for info in await js.streams_info()} == names
        await client.close()


async def test_without_space_there_is_one_clear_error_and_then_the_streams(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[str] = []
    with limited_broker(tmp_path, 20) as broker:
        client = await nats.connect(broker.url)
        declaring = asyncio.create_task(declare(client.jetstream(), 1, waits.append))

        await eventually(lambda: len(waits) >= 3, "declaring is tried again")

        lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert [record.getMessage() for record in lines] == [f"{waits[0]}; trying again"]
        assert waits[0] == (
            "cannot create the streams: JetStream offers less than the 56 MiB that the streams ALERTS, "
            "MEASUREMENTS, VERDICTS, DEAD_LETTERS, AUDIT, SESSIONS, KV_APPLIED need at least: give it a "
            "larger disk, or raise max_file_store of the broker or the limits of the account"
        )
        declaring.cancel()
        await client.close()
    with limited_broker(tmp_path, 200) as broker:
        client = await nats.connect(broker.url)
        await declare(client.jetstream(), 1)
        assert sum((await sizes_of(client.jetstream())).values()) <= 100 * MIB
        await client.close()


async def test_a_limit_of_the_account_counts_as_well(tmp_path: Path) -> None:
    config = tmp_path / "nats.conf"
    limits = {"max_file": 100 * MIB}
    users = [{"user": "u", "password": "p"}]
    config.write_text(
        json.dumps(
            {
                "jetstream": {"store_dir": str(tmp_path / "store")},
                "accounts": {"A": {"jetstream": limits, "users": users}},
            }
        )
    )
    with EmbeddedBroker(tmp_path, config=config) as broker:
        client = await nats.connect(broker.url, user="u", password="p")
        await declare(client.jetstream(), 1)
        assert sum((await sizes_of(client.jetstream())).values()) <= 50 * MIB
        await client.close()


async def test_two_schedulers_that_declare_together_agree(broker: Broker) -> None:
    client = await nats.connect(broker.url)
    js = client.jetstream()

    await asyncio.gather(*(declare(client.jetstream(), 1) for _ in range(4)))

    sizes = await sizes_of(js)
    assert all(SIZES[name].smallest <= size <= SIZES[name].largest for name, size in sizes.items())
    assert RESERVATION_STREAM not in {info.config.name for info in await js.streams_info()}
    await client.close()


async def test_streams_of_an_older_version_keep_their_size_and_get_bounds_per_sender(broker: Broker) -> None:
    client = await nats.connect(broker.url)
    js = client.jetstream()
    for config in (OLD_ALERTS, OLD_DEAD_LETTERS):
        await create(js, {**config})
    await js.publish(subjects.alert("ci"), b"{}")

    await declare(js, 1)
    await declare(js, 1)

    alerts = await js.stream_info(subjects.ALERTS_STREAM)
    letters = await js.stream_info(subjects.DEAD_LETTERS_STREAM)
    assert (alerts.config.max_bytes, letters.config.max_bytes) == (32 * MIB, 16 * MIB)
    assert letters.config.max_msgs_per_subject == 51
    assert (alerts.config.duplicate_window, alerts.config.max_msgs_per_subject) == (0.1, 102)
    assert letters.config.subjects == ["sluiceway.dead_letters.*", "sluiceway.dead_letters.*.*"]
    assert alerts.state.messages == 1
    await client.close()


async def test_what_an_operator_has_set_stays(broker: Broker) -> None:
    client = await nats.connect(broker.url)
    js = client.jetstream()
    own = {"max_msgs_per_subject": 7, "metadata": {"team": "platform"}}
    await create(js, {**OLD_DEAD_LETTERS, **own})

    await declare(js, 1)

    config = (await js.stream_info(subjects.DEAD_LETTERS_STREAM)).config
    assert (config.max_msgs_per_subject, len(config.subjects or [])) == (7, 2)
    assert (config.metadata or {})["team"] == "platform"
    await client.close()
