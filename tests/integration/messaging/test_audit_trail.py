"""Audit records are appended in the background: one chain for all replicas; a dead stream stops nobody."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sluiceway.contracts import subjects
from sluiceway.contracts.audit_chain import BrokenRecord, ChainVerifier
from sluiceway.contracts.audit_records import AuditEvent, AuditType
from sluiceway.messaging.audit_trail import QUEUE_MAX, AuditTrail
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.history import read_history
from sluiceway.messaging.streams import streams
from sluiceway.settings import BrokerSettings
from tests.support.brokers import Broker
from tests.support.waiting import eventually

SERVICE = "scheduler"
SUBJECT = subjects.audit(SERVICE)
CONFIG = next(config for config in streams(1) if config.name == subjects.AUDIT_STREAM)
_numbers = itertools.count()


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await connection.js.add_stream(CONFIG)
        yield connection


@asynccontextmanager
async def a_trail(connection: Connection) -> AsyncIterator[AuditTrail]:
    async with AuditTrail(connection, SERVICE, lambda: 1) as trail:
        yield trail


def an_event(**fields: Any) -> AuditEvent:
    """Return an event of somebody who has caused none before."""
    actor = f"user {next(_numbers)}"
    return AuditEvent.model_validate(
        {"type": AuditType.REFUSED, "time_ms": 1, "actor": actor, "vouched_by": "key", **fields}
    )


async def records(connection: Connection) -> list[dict[str, Any]]:
    history = await read_history(connection.js, subjects.AUDIT_STREAM, subjects.AUDIT)
    return [json.loads(data) for _, data in history]


async def stored(connection: Connection, count: int) -> list[dict[str, Any]]:
    """Wait until the stream holds so many records."""

    async def look() -> list[dict[str, Any]] | None:
        found = await records(connection)
        return found if len(found) >= count else None

    return await eventually(look, f"{count} records are stored")


async def broken(connection: Connection) -> BrokenRecord | None:
    verifier = ChainVerifier()
    for sequence, data in await read_history(connection.js, subjects.AUDIT_STREAM, subjects.AUDIT):
        if found := verifier.check(SERVICE, sequence, data):
            return found
    return None


async def replace_stream(connection: Connection, kept: int) -> None:
    """Let the stream go back to its first messages."""
    history = await read_history(connection.js, subjects.AUDIT_STREAM, subjects.AUDIT)
    await connection.js.delete_stream(subjects.AUDIT_STREAM)
    await connection.js.add_stream(CONFIG)
    for _, data in history[:kept]:
        await connection.js.publish(SUBJECT, data)


async def test_replicas_append_to_one_chain(connection: Connection) -> None:
    async with a_trail(connection) as one, a_trail(connection) as two, a_trail(connection) as three:
        for _ in range(100):
            for trail in (one, two, three):
                trail.record(an_event())
            await asyncio.sleep(0)
        found = await stored(connection, 300)

    assert len(found) == 300
    assert len({record["actor"] for record in found}) == 300
    assert await broken(connection) is None


async def test_a_later_process_continues_the_chain(connection: Connection) -> None:
    for _ in range(3):
        async with a_trail(connection) as trail:
            trail.record(an_event())

    assert [record["number"] for record in await records(connection)] == [1, 2, 3]
    assert await broken(connection) is None


async def test_a_stream_that_stores_nothing_stops_nobody_and_what_is_lost_is_recorded(
    connection: Connection,
) -> None:
    await connection.js.delete_stream(subjects.AUDIT_STREAM)
    async with a_trail(connection) as trail:
        for _ in range(QUEUE_MAX + 50):
            trail.record(an_event())
        await connection.js.add_stream(CONFIG)
        found = await stored(connection, QUEUE_MAX + 1)

    assert len(found) == QUEUE_MAX + 1
    assert (found[-1]["type"], found[-1]["count"]) == ("lost", 50)
    assert await broken(connection) is None


async def test_a_trail_ends_in_time_although_nothing_is_stored(connection: Connection) -> None:
    await connection.js.delete_stream(subjects.AUDIT_STREAM)

    async with asyncio.timeout(30), a_trail(connection) as trail:
        trail.record(an_event())


async def test_left_out_records_are_counted_when_a_process_stops(connection: Connection) -> None:
    async with a_trail(connection) as trail:
        for _ in range(1_000):
            trail.record(an_event(actor="eve"))

    found = await records(connection)
    assert sum(record.get("count", 1) for record in found) == 1_000
    assert found[-1]["type"] == "suppressed"


async def test_a_stream_that_goes_back_is_recorded_in_it(connection: Connection) -> None:
    async with a_trail(connection) as trail:
        for _ in range(5):
            trail.record(an_event())
        before = await stored(connection, 5)
        await replace_stream(connection, kept=2)
        trail.record(an_event())
        after = await stored(connection, 4)

    assert [record["type"] for record in after] == ["refused", "refused", "history_went_back", "refused"]
    assert before[4]["hash"] in after[2]["reason"]
    assert after[2]["count"] == 3
    assert await broken(connection) is None


async def test_a_message_that_is_not_a_record_stops_nobody_and_is_found(connection: Connection) -> None:
    async with a_trail(connection) as trail:
        trail.record(an_event())
        await stored(connection, 1)
        await connection.js.publish(SUBJECT, b'{"number": 7}')
        trail.record(an_event())
        await eventually(lambda: _count(connection, 4), "the record after it is stored")

    found = await broken(connection)
    assert found
    assert found.sequence == 2


async def _count(connection: Connection, count: int) -> bool:
    return (await connection.js.stream_info(subjects.AUDIT_STREAM)).state.messages >= count


async def test_records_cannot_be_removed_through_the_broker(connection: Connection) -> None:
    async with a_trail(connection) as trail:
        trail.record(an_event())
        await stored(connection, 1)

    with pytest.raises(Exception, match="message delete not permitted"):
        await connection.js.delete_msg(subjects.AUDIT_STREAM, 1)
    with pytest.raises(Exception, match="purge not permitted"):
        await connection.js.purge_stream(subjects.AUDIT_STREAM)
