"""Rules that are spread over several streams, with documents and marks as a publisher writes them."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.contracts.rule_document import CompleteSet, ConfigSpec, RuleDocument, SpecSet
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.rules_streams import STREAMS_MAX, RulesStreams
from sluiceway.messaging.streams import declare
from sluiceway.settings import BrokerSettings

from . import heartbeats
from .brokers import Broker

#: Of three groups, they are in the first, the second and the third.
REGIONS = ("dev", "staging", "eu-west")


@asynccontextmanager
async def declared_streams(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Connection]:
    """Connect to a broker that has all streams; heartbeats of streams come often meanwhile."""
    heartbeats.make_fast(monkeypatch)
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await declare(connection.js, 1)
        yield connection


async def spread_rules(js: JetStreamContext, groups: int, regions: Iterable[str]) -> RulesStreams:
    """Let so many streams hold the rules of these regions; what was there before is deleted."""
    await delete_rules(js)
    streams, names = RulesStreams(groups), tuple(regions)
    for group in reversed(range(groups)):
        await create_rules_stream(js, streams, group, names)
    return streams


async def create_rules_stream(
    js: JetStreamContext, streams: RulesStreams, group: int, regions: Iterable[str]
) -> None:
    """Create one of several streams."""
    await js.add_stream(_config(streams, group, regions))


async def place_regions(
    js: JetStreamContext, streams: RulesStreams, group: int, regions: Iterable[str]
) -> None:
    """Give a stream a place for each of these regions that is in its group."""
    await js.update_stream(_config(streams, group, regions))


def _config(streams: RulesStreams, group: int, regions: Iterable[str]) -> StreamConfig:
    return StreamConfig(
        name=subjects.rules_stream(group),
        subjects=streams.subjects(group, regions),
        max_msgs_per_subject=1,
        allow_direct=True,
        metadata=streams.metadata or None,
    )


async def delete_rules(js: JetStreamContext) -> None:
    """Delete all streams of rules, the first one first."""
    for group in range(STREAMS_MAX):
        try:
            await js.delete_stream(subjects.rules_stream(group))
        except NotFoundError:
            if group:
                return


async def publish_rules(js: JetStreamContext, region: str, key: FeatureKey, revision: int) -> None:
    """Publish the rules of a feature in a region."""
    spec = ConfigSpec(
        type="feature_gate", entity="feature_gate", salt="s", enabled=True, default_value=True, rules=()
    )
    document = RuleDocument(
        kind=key.kind,
        name=key.name,
        revision=revision,
        event_time_ms=0,
        specs=SpecSet(feature_gates={key.name: spec}),
    )
    headers = {envelope.REVISION: str(revision)}
    await js.publish(subjects.rule(region, key), document.to_json(), headers=headers)


async def mark_complete(js: JetStreamContext, region: str, epoch: int) -> None:
    """Mark the rules of a region as complete."""
    mark = CompleteSet(region=region, epoch=epoch, log_sequence=1)
    await js.publish(subjects.complete_set(region), mark.to_json())
