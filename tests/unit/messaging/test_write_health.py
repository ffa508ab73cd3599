"""A message without an acknowledgement: the disk is full, or the broker elects a leader."""

import asyncio
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

SECOND = 1_000_000_000


def led(*active: int, leader: str = "n1") -> dict[str, object]:
    """Return what a broker says of its cluster, which has had the same leader for an hour."""
    replicas = [{"name": f"n{number}", "active": ns} for number, ns in enumerate(active, 2)]
    return {"leader": leader, "leader_since": "2026-11-28T18:31:44.409544853Z", "replicas": replicas}


class FakeClient:
    def __init__(self, ts: str, cluster: dict[str, object]) -> None:
        self.answer: dict[str, object] = {"state": {"last_seq": 7}, "cluster": cluster, "ts": ts}

    async def request(self, subject: str, *_: object, **__: object) -> SimpleNamespace:
        if not self.answer:
            raise NatsTimeoutError
        return SimpleNamespace(data=json.dumps(self.answer).encode())


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


@pytest.mark.parametrize(
    ("cluster", "is_stuck"),
    [
        (led(SECOND // 2, SECOND // 2), True),
        (led(SECOND // 2, 60 * SECOND), True),
        (led(4 * SECOND, 60 * SECOND), False),
        (led(0, 0), False),
        (led(SECOND // 2, SECOND // 2, leader=""), False),
    ],
    ids=["all heard", "most heard", "none heard lately", "none heard yet", "no leader"],
)
async def test_a_leader_without_its_replicas_is_not_taken_for_a_full_disk(
    cluster: dict[str, object], is_stuck: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers until it has noticed, and stores nothing. With its replicas it has ten seconds."""
    loop = asyncio.get_running_loop()
    health = WriteHealth(
        cast(Client, FakeClient("2026-11-28T19:31:44.409544853Z", cluster)), cast(JetStreamContext, None)
    )
    started, failures = loop.time(), []

    for seconds in (0, 5, 9, 11):
        monkeypatch.setattr(loop, "time", lambda seconds=seconds: started + seconds)
        failures.append(await health.record_failure("FEATURES", NatsTimeoutError(), 0))
    monkeypatch.undo()

    assert [failure is not None for failure in failures] == [False, False, False, is_stuck]


@pytest.mark.parametrize("between", ["other messages", "a broker without quorum", "no answer"])
async def test_acknowledgements_that_are_lost_on_their_way_are_no_full_disk(
    between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a cut: the route of a broker to the leader breaks some seconds later than its own."""
    loop = asyncio.get_running_loop()
    client = FakeClient("2026-11-28T19:31:44.409544853Z", led(SECOND, SECOND))
    health = WriteHealth(cast(Client, client), cast(JetStreamContext, None))
    started, answer = loop.time(), client.answer
    answers: dict[str, dict[str, object] | None] = {
        "other messages": {**answer, "state": {"last_seq": 8}},
        "a broker without quorum": {**answer, "cluster": led(4 * SECOND, 4 * SECOND)},
        "no answer": None,
    }
    failures = []

    for seconds, given in ((0, answer), (5, answers[between]), (11, answer)):
        client.answer = given or {}
        monkeypatch.setattr(loop, "time", lambda seconds=seconds: started + seconds)
        failures.append(await health.record_failure("FEATURES", NatsTimeoutError(), 0))
    monkeypatch.undo()

    assert failures == [None] * 3


@pytest.mark.parametrize("between", ["stored", "a pause", "a reconnect"])
async def test_two_stalls_are_not_taken_for_one_long_one(
    between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    client = FakeClient("2026-11-28T19:31:44.409544853Z", led(SECOND, SECOND))
    health = WriteHealth(cast(Client, client), cast(JetStreamContext, None))
    started = loop.time()
    await health.record_failure("FEATURES", NatsTimeoutError(), 0)

    if between == "stored":
        health.record_stored("FEATURES")
    elif between == "a reconnect":
        health.forget()
    seconds = 60 if between == "a pause" else 11
    monkeypatch.setattr(loop, "time", lambda: started + seconds)
    failure = await health.record_failure("FEATURES", NatsTimeoutError(), health.connections)
    monkeypatch.undo()

    assert failure is None
