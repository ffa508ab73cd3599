"""A scheduler's restart with 10,000 active triggers, against reading 10,000 last messages raw."""

import asyncio
from pathlib import Path

import pytest
from nats.js.api import DeliverPolicy

from sluiceway.clock import now_ms
from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Environment
from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.messaging.connection import connected
from sluiceway.messaging.feature_log import FeatureLog, headers_of
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.streams import declare
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue
from sluiceway.settings import BrokerSettings
from tests.benchmarks.measure import Line, Samples, record_lines, show, timed
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, phase, pipeline
from tests.support.system import EVERYONE

pytestmark = pytest.mark.benchmark

TRIGGERS = 10_000
ROUNDS = 5


async def test_restart(broker: Broker, tmp_path: Path) -> None:
    ours, raw = Samples(), Samples()
    async with connected(BrokerSettings(nats_url=broker.url), "bench") as connection:
        await declare(connection.js, 1)
        futures = [
            await connection.js.publish_async(
                subjects.feature(event.feature.key), event.to_json(), headers=headers_of(event, "/bench")
            )
            for event in map(_started, range(TRIGGERS))
        ]
        await asyncio.gather(*futures)
        for _ in range(ROUNDS):
            await timed(ours, lambda: _deadlines(connection))
            await timed(raw, lambda: _read_all(connection))

    lines = [Line(f"all deadlines of {TRIGGERS:,} active triggers known again", ours, raw)]
    show("Restart", lines)
    record_lines(lines)


def _started(n: int) -> FeatureEvent:
    catalogue = Catalogue(
        environments={"development": Environment(name="development")},
        pipelines={PIPELINE: Pipeline.model_validate(pipeline(phase("dev", bake_ms=10**9)))},
    )
    document = {
        "kind": "FeatureGate",
        "name": f"gate{n}",
        "rules": [EVERYONE],
        "releasePipelineID": PIPELINE,
    }
    event = decide(
        None, SaveFeature.model_validate({"actor": "bench", "feature": document}), now_ms(), catalogue
    )
    assert isinstance(event, FeatureEvent)
    return event


async def _deadlines(connection) -> None:  # type: ignore[no-untyped-def]
    view = FeatureView(connection, FeatureLog(connection, "/bench"))
    due: list[int] = []
    view.on_change = lambda entry: due.append(entry.due_ms or 0)
    async with view:
        await view.caught_up()
    assert len(due) == TRIGGERS


async def _read_all(connection) -> None:  # type: ignore[no-untyped-def]
    done, count = asyncio.Event(), 0

    async def take(_: object) -> None:
        nonlocal count
        count += 1
        if count == TRIGGERS:
            done.set()

    subscription = await connection.js.subscribe(
        subjects.FEATURES,
        ordered_consumer=True,
        cb=take,
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        pending_msgs_limit=0,
        pending_bytes_limit=0,
    )
    await done.wait()
    await subscription.unsubscribe()
