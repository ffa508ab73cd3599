"""Writes events straight into FEATURES."""

from collections.abc import Iterator
from itertools import islice

from sluiceway.contracts import subjects
from sluiceway.contracts.events import FeatureEvent
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.publishing import ConditionalMessage, StreamPublisher

#: Messages that are built before they are sent.
BATCH = 4_000


async def append_events(connection: Connection, events: Iterator[FeatureEvent]) -> None:
    """Append to FEATURES; each event is the first of its feature."""
    publisher = StreamPublisher(connection, subjects.FEATURES_STREAM)
    while batch := [_message(event) for event in islice(events, BATCH)]:
        for appended in await publisher.append_all(batch):
            assert isinstance(appended, int), appended


def _message(event: FeatureEvent) -> ConditionalMessage:
    headers = headers_of(event, "/bench")
    return ConditionalMessage(subjects.feature(event.feature.key), event.to_json(), headers, 0)
