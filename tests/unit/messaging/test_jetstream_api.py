"""The end of a stream is taken from a broker that leads it, not from one that did until a moment ago."""

import json
from typing import Any

import pytest

from sluiceway.messaging.connection import Connection
from sluiceway.messaging.history_loss import NoQuorum
from sluiceway.messaging.jetstream_api import last_sequence
from tests.support.answering_client import AnsweringClient

SECOND = 1_000_000_000


async def end(cluster: dict[str, Any] | None) -> int:
    """Return the end of a stream, as a broker says that has this view of its cluster."""
    answer: dict[str, Any] = {"created": "2026-11-28T20:38:57Z", "state": {"messages": 7, "last_seq": 9}}
    if cluster is not None:
        answer["cluster"] = {"name": "c", **cluster}
    client = AnsweringClient(lambda _: json.dumps(answer).encode())
    return await last_sequence(Connection(client).replies, "FEATURES")


def replicas(*active: int) -> list[dict[str, Any]]:
    """Return replicas that were heard so long ago; 0: never."""
    heard = enumerate(active, 2)
    return [{"name": f"n{number}", "current": True, "active": ago, "lag": 0} for number, ago in heard]


@pytest.mark.parametrize(
    "cluster",
    [
        None,
        {"leader": "n1"},
        {"leader": "n1", "replicas": replicas(SECOND, SECOND)},
        {"leader": "n1", "replicas": replicas(SECOND, 20 * SECOND)},
        {"leader": "n1", "replicas": replicas(SECOND, 0)},
    ],
    ids=["no cluster", "no replicas", "healthy", "one cut off", "one never heard"],
)
async def test_a_leader_that_hears_most_replicas_knows_the_end(cluster: dict[str, Any] | None) -> None:
    assert await end(cluster) == 9


@pytest.mark.parametrize(
    "cluster",
    [
        {"leader": "n1", "replicas": replicas(4 * SECOND, 4 * SECOND)},
        {"leader": "n2", "replicas": replicas(SECOND, SECOND)},
        {"replicas": replicas(SECOND, SECOND)},
    ],
    ids=["cut off", "not the leader", "no leader"],
)
async def test_a_broker_that_may_have_been_replaced_does_not(cluster: dict[str, Any]) -> None:
    with pytest.raises(NoQuorum):
        await end(cluster)
