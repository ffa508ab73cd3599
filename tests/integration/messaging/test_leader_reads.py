"""A broker's answers are read as they are."""

import pytest

from sluiceway.contracts import subjects
from sluiceway.messaging import rules_reads
from sluiceway.messaging.leader_reads import LeaderReads
from sluiceway.messaging.rules_reads import RulesReads
from sluiceway.messaging.streams import declare
from tests.support.brokers import Broker
from tests.support.system import driving
from tests.support.waiting import eventually

KEYS = [f"$KV.RULES.prod.gate.f{number}" for number in range(250)]
REGIONS = [f"region-{number}" for number in range(10)]
PLACES = [f"$KV.RULES.{region}.gate.checkout" for region in REGIONS]


async def test_what_a_broker_holds_is_read_with_its_headers(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        js = driver.connection.js
        await declare(js, replicas=1)
        for key in KEYS[:200]:
            await js.publish(key, b"old", headers={"Checksum": "old"})
            await js.publish(key, b"{}" * 1_000, headers={"Checksum": key})
        last = await js.get_last_msg(subjects.RULES_STREAM, KEYS[199])

        read = await LeaderReads(driver.connection, lambda subject: subjects.RULES_STREAM).newest(KEYS)

        assert [message and message.headers for message in read.values()] == [
            *({"Checksum": key} for key in KEYS[:200]),
            *[None] * 50,
        ]
        assert last.seq
        assert last.time
        found = read[KEYS[199]]
        assert found
        assert found.sequence == last.seq
        assert abs(found.time_ms - last.time.timestamp() * 1_000) < 1


async def test_rules_are_found_in_their_streams_also_after_a_change_of_the_number(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules_reads, "ASK_EVERY_SECONDS", 0)
    async with driving(broker.url) as driver:
        js = driver.connection.js
        await declare(js, replicas=1)
        for region in REGIONS:
            await js.publish(subjects.catalogue("region", region), b"{}")
        reads = RulesReads(driver.connection)

        async def all_found() -> bool:
            read = await reads.newest(PLACES)
            return [message and message.headers["Place"] for message in read.values()] == PLACES

        for count in (1, 3, 4, 1):
            await declare(js, replicas=1, rules_streams=count)
            assert not await all_found()
            for place in PLACES:
                await js.publish(place, b"{}", headers={"Place": place})

            await eventually(all_found, f"the rules are found in {count} streams")
