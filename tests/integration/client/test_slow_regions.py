"""A region that reads slowly costs nobody else anything: one of a hundred, on a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from sluiceway.client.region_client import RegionClient
from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts import subjects
from sluiceway.contracts.applied_reports import AppliedChange
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.rule_document import CompleteSet, ConfigSpec, RuleDocument, SpecSet
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.publishing import ConditionalMessage, StreamPublisher
from sluiceway.messaging.streams import declare
from sluiceway.settings import BrokerSettings
from sluiceway.tasks import cancel_and_wait
from tests.support.brokers import Broker, broker_with_max_pending
from tests.support.waiting import eventually

OTHERS = tuple(f"r{number}" for number in range(99))
SLOW = "slow"
KEY = FeatureKey(FeatureKind.GATE, "gate")
#: Of the slow region, and what it reads in a second.
DOCUMENT_BYTES = 256 * 1024
#: More than the broker and both sockets hold for a region that does not read.
ROUNDS = 50
#: Far more than all of that takes.
BOUND_SECONDS = 60.0
MAX_PENDING_BYTES = 1024 * 1024


@dataclass
class Regions:
    """A publisher, the slow region's connection, and the others, which share one."""

    publisher: StreamPublisher
    slow: Connection
    shared: Connection
    rules: list[RegionRules]

    async def publish_rounds(self) -> None:
        """Publish a document in each region, so many times; nothing is refused."""
        small, large = a_document(1), a_document(DOCUMENT_BYTES)
        last = dict.fromkeys((*OTHERS, SLOW), 0)
        for revision in range(1, ROUNDS + 1):
            messages = [
                ConditionalMessage(
                    subjects.rule(region, KEY),
                    (large if region == SLOW else small).model_copy(update={"revision": revision}).to_json(),
                    {},
                    sequence,
                )
                for region, sequence in last.items()
            ]
            stored = await self.publisher.append_all(messages)
            last = {region: int(result) for region, result in zip(last, stored, strict=True)}  # type: ignore[arg-type]

    async def others_are_current(self) -> None:
        await eventually(
            lambda: all(rules.revision(KEY) == ROUNDS for rules in self.rules),
            "all others have the newest rules",
            BOUND_SECONDS,
        )


def a_document(size: int) -> RuleDocument:
    spec = ConfigSpec(
        type="feature_gate",
        entity="feature_gate",
        salt="s",
        enabled=True,
        default_value="d" * size,
        rules=(),
    )
    return RuleDocument(
        kind=KEY.kind,
        name=KEY.name,
        revision=1,
        event_time_ms=0,
        specs=SpecSet(feature_gates={KEY.name: spec}),
    )


@asynccontextmanager
async def regions(url: str) -> AsyncIterator[Regions]:
    settings = BrokerSettings(nats_url=url)
    async with AsyncExitStack() as stack:
        publishing, slow, shared = [
            await stack.enter_async_context(connected(settings, name))
            for name in ("publisher", "slow", "others")
        ]
        await declare(publishing.js, 1)
        for region in (*OTHERS, SLOW):
            mark = CompleteSet(region=region, epoch=0, log_sequence=1)
            await publishing.js.publish(subjects.complete_set(region), mark.to_json())
        rules = [RegionRules(region) for region in OTHERS]
        clients = [RegionClient(shared, each, instance="one") for each in rules]
        for client in clients:
            await stack.enter_async_context(client)
        for client in clients:
            await client.caught_up()
        yield Regions(StreamPublisher(publishing, subjects.RULES_STREAM), slow, shared, rules)


async def stop_reading(client: Client) -> None:
    assert client._reading_task
    await cancel_and_wait(client._reading_task)


def read_again(client: Client) -> None:
    client._reading_task = asyncio.create_task(client._read_loop())


@asynccontextmanager
async def reading_slowly(client: Client) -> AsyncIterator[None]:
    """Read the bytes of about one document a second."""

    async def read() -> None:
        assert client._transport
        while True:
            await asyncio.sleep(1.0)
            await client._ps.parse(await client._transport.read(DOCUMENT_BYTES))

    await stop_reading(client)
    reading = asyncio.create_task(read())
    try:
        yield
    finally:
        await cancel_and_wait(reading)
        read_again(client)


def unharmed(found: Regions, caplog: pytest.LogCaptureFixture) -> bool:
    return found.shared.client.stats["reconnects"] == 0 and "with a new consumer" not in caplog.text


async def test_a_region_that_reads_one_message_a_second_delays_no_other(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    async with regions(broker.url) as found:
        rules, applied = RegionRules(SLOW), list[AppliedChange]()
        rules.on_applied = applied.append
        async with RegionClient(found.slow, rules, instance="one") as client:
            await client.caught_up()
            async with reading_slowly(found.slow.client):
                async with asyncio.timeout(BOUND_SECONDS):
                    await found.publish_rounds()
                await found.others_are_current()

                assert len(applied) < ROUNDS // 2
                assert unharmed(found, caplog)

            await eventually(lambda: rules.revision(KEY) == ROUNDS, "the slow region has the newest rules")


async def test_a_reader_without_flow_control_is_cut_off_and_delays_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As somebody who follows a region with NATS alone, and whose process stands."""
    with broker_with_max_pending(tmp_path, MAX_PENDING_BYTES) as broker:
        async with regions(broker.url) as found:
            inbox = found.slow.client.new_inbox()
            await found.slow.client.subscribe(inbox, cb=ignore)
            await found.slow.js.add_consumer(
                subjects.RULES_STREAM,
                ConsumerConfig(
                    deliver_subject=inbox,
                    filter_subject=subjects.rules_of(SLOW),
                    ack_policy=AckPolicy.NONE,
                    mem_storage=True,
                ),
            )
            await stop_reading(found.slow.client)
            async with asyncio.timeout(BOUND_SECONDS):
                await found.publish_rounds()
            await found.others_are_current()

            assert unharmed(found, caplog)
            await eventually(lambda: "Slow Consumer" in broker.log.read_text(), "the reader is cut off")


async def ignore(message: object) -> None:
    """Take a message."""
