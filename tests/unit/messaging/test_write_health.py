"""A message without an acknowledgement: the disk is full, or the broker elects a leader."""

import json
from types import SimpleNamespace
from typing import cast

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext

from sluiceway.messaging.write_health import WriteHealth

#: What nats-server 2.15.1 says of a stream with three replicas; of a single broker, without `leader_since`.
CLUSTER = {"name": "c", "leader": "n1", "leader_since": "2026-11-28T19:31:44.409544853Z", "replicas": []}


class FakeClient:
    def __init__(self, ts: str, cluster: dict[str, object]) -> None:
        self._answer = {"state": {"last_seq": 7}, "cluster": cluster, "ts": ts}

    async def request(self, subject: str, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(data=json.dumps(self._answer).encode())


@pytest.mark.parametrize(
    ("ts", "cluster", "is_stuck"),
    [
        ("2026-11-28T19:31:46.409544853Z", CLUSTER, False),
        ("2026-11-28T19:31:56.409544853Z", CLUSTER, True),
        ("2026-11-28T19:31:46.409544853Z", {"leader": "n1"}, True),
    ],
)
async def test_a_leader_that_is_new_is_not_taken_for_a_full_disk(
    ts: str, cluster: dict[str, object], is_stuck: bool, caplog: pytest.LogCaptureFixture
) -> None:
    client = cast(Client, FakeClient(ts, cluster))
    health = WriteHealth(client, cast(JetStreamContext, None))

    failure = await health.record_failure("FEATURES", NatsTimeoutError(), 0)

    assert (failure is not None) == is_stuck
    assert ("the store is full" in caplog.text) == is_stuck
