"""Two publishers write to the same keys of a cluster: one of two writes wins, and nothing is read again."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from sluiceway.contracts import subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging import history_loss
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rule_table import RuleKey, RuleVersion
from sluiceway.messaging.rule_writes import RuleWrite
from sluiceway.messaging.streams import declare
from tests.support.clusters import cluster
from tests.support.waiting import eventually

KEYS = [RuleKey(region, FeatureKey(FeatureKind.GATE, "one")) for region in ("dev", "prod")]
ROUNDS = 100


def writes(number: int, publisher: str) -> list[RuleWrite]:
    return [RuleWrite(key, 1, RuleVersion(number, 1), f"{publisher}{number}", 1, b"{}") for key in KEYS]


async def race(store: RuleStore, publisher: str, numbers: Iterator[int]) -> int:
    """Write one version after the other; return how many writes another publisher was faster with."""
    return sum([len(await store.write(writes(next(numbers), publisher))) for _ in range(ROUNDS)])


async def test_a_write_that_another_one_overtakes_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_loss, "CONFIRMED_SECONDS", 1.0)
    async with cluster(tmp_path) as running, running.connection() as one, running.connection() as two:
        await declare(one.js, 3)
        async with RuleStore(one) as first, RuleStore(two) as second:
            await asyncio.gather(first.caught_up(), second.caught_up())
            numbers = count(1)

            overtaken = await asyncio.gather(race(first, "a", numbers), race(second, "b", numbers))

            assert sum(overtaken) > ROUNDS / 10
            assert (first.follower.resets, second.follower.resets) == (0, 0)

            await one.js.purge_stream(subjects.RULES_STREAM, subject=subjects.rule(*KEYS[0]))
            lost = writes(next(numbers), "a")
            assert lost[0] in await first.write(lost)
            await eventually(lambda: first.follower.resets == 1, "what was removed is noticed")
