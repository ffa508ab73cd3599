"""A scheduler that starts while the broker stalls, or while a stream goes back."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.scheduler import earlier_commands
from services.scheduler.earlier_commands import EARLIER_SECONDS, remember_earlier_commands
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.commands import SaveFeature
from sluiceway.errors import Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.decision_view import DecisionView
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.stall_retries import STALL_SECONDS_MAX
from sluiceway.messaging.stream_records import Record
from tests.support.answering_client import AnsweringClient
from tests.support.builders import a_gate

NOW_MS = 1_000_000


async def test_earlier_commands_are_read_until_the_broker_answers_and_the_stream_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command, lost = (SaveFeature(id=id_, actor="ada", feature=a_gate()) for id_ in ("kept", "lost"))
    connection = Connection(AnsweringClient(lambda _: None))
    features = DecisionView(connection, FeatureLog(connection, "/tests"))
    catalogue, asked = CatalogueView(connection), list[tuple[str, int]]()

    async def read(_: object, stream: str, subject: str, *, since_ms: int) -> AsyncIterator[Record]:
        asked.append((stream, since_ms))
        if len(asked) == 1:
            raise Unavailable("no leader")
        if len(asked) == 2:
            features.follower.resets += 1
        if stream == subjects.FEATURES_STREAM:
            found = lost if len(asked) == 2 else command
            headers = {envelope.COMMAND: found.idempotency_key.scoped_id}
            yield Record(subjects.feature(found.key), 1, NOW_MS, b"", headers)

    monkeypatch.setattr(earlier_commands, "read_headers", read)
    monkeypatch.setattr(earlier_commands, "PAUSE_SECONDS", (0.0, 0.0))
    js: Any = connection.js

    await remember_earlier_commands(js, features, catalogue, lambda: NOW_MS)

    streams = [subjects.FEATURES_STREAM] * 3 + [subjects.CATALOG_STREAM]
    assert asked == [(stream, NOW_MS - EARLIER_SECONDS * 1_000) for stream in streams]
    assert features.has_applied(command)
    assert not features.has_applied(lost)


def test_they_are_older_than_any_command_is_sent_again() -> None:
    assert EARLIER_SECONDS >= 2 * STALL_SECONDS_MAX
