"""A publisher over one stream of rules and over several, and while their number changes."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from nats.js.errors import NotFoundError
from prometheus_client import REGISTRY

from services.evaluator_publisher import event_documents, fan_out, rules_publisher
from services.evaluator_publisher.app import EvaluatorPublisher
from services.scheduler.rules_regions import RulesRegions
from sluiceway.contracts import subjects
from sluiceway.contracts.checkpoint import Checkpoint
from sluiceway.contracts.commands import SaveRegion
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.rule_document import CompleteSet, RuleDocument
from sluiceway.messaging.rules_streams import RulesStreams
from sluiceway.settings import ServiceSettings
from sluiceway.tasks import cancel_and_wait
from tests.integration.test_checkpoints import Projections
from tests.support.brokers import Broker
from tests.support.catalogues import REGIONS, apply_catalogue, region
from tests.support.spread_rules import create_rules_stream, place_regions, spread_rules
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

GATES = ("one", "two")
#: In the same group of three as `dev`.
NEIGHBOUR = "canary-1"


@pytest.fixture
async def driver(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Driver]:
    """Two gates are saved, and nothing is published yet; the scheduler leaves the streams to the test."""
    monkeypatch.setattr(fan_out, "CHECKPOINT_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(rules_publisher, "LOOK_AT_STREAMS_SECONDS", 0.05)
    monkeypatch.setattr(RulesRegions, "run", lambda self: asyncio.Event().wait())
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        await apply_catalogue(driver)
        for gate in GATES:
            await driver.save_gate(gate, EVERYONE)
        yield driver


@asynccontextmanager
async def publishing(broker: Broker) -> AsyncIterator[EvaluatorPublisher]:
    async with EvaluatorPublisher(ServiceSettings(nats_url=broker.url)) as publisher:
        yield publisher


async def message(driver: Driver, stream: str, place: str) -> bytes:
    """Return the last message in a stream; nothing if there is none, or no stream."""
    try:
        return (await driver.connection.js.get_last_msg(stream, place)).data or b""
    except NotFoundError:
        return b""


async def has_rules(driver: Driver, streams: RulesStreams, gate: str, regions: Iterable[str]) -> bool:
    """Return whether each region has the newest version of a gate, in the stream of its group."""
    key = FeatureKey(FeatureKind.GATE, gate)
    newest = (await driver.log.tail(key)).sequence
    for name in regions:
        data = await message(driver, streams.of(name), subjects.rule(name, key))
        if not data or RuleDocument.model_validate_json(data).revision != newest:
            return False
    return True


async def is_published(driver: Driver, streams: RulesStreams) -> bool:
    """Return whether each region has all of its rules and a mark, in the stream of its group."""
    for name in REGIONS:
        mark = await message(driver, streams.of(name), subjects.complete_set(name))
        if not mark or CompleteSet.model_validate_json(mark).epoch == 0:
            return False
    return all([await has_rules(driver, streams, gate, REGIONS) for gate in GATES])


async def is_proved(driver: Driver, streams: RulesStreams) -> bool:
    """Return whether each stream has a checkpoint as of the end of the log."""
    last = (await driver.connection.js.stream_info(subjects.FEATURES_STREAM)).state.last_seq
    for group, stream in enumerate(streams.names):
        data = await message(driver, stream, subjects.checkpoint(group))
        if not data or Checkpoint.model_validate_json(data).log_sequence != last:
            return False
    return True


@pytest.mark.parametrize("groups", [1, 3])
async def test_a_start_publishes_to_all_streams_and_the_next_one_projects_nothing(
    driver: Driver, broker: Broker, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = await spread_rules(driver.connection.js, groups, REGIONS)
    assert len({streams.of(name) for name in REGIONS}) == groups
    async with publishing(broker) as publisher:
        await eventually(partial(is_published, driver, streams), "everything is published")
        await eventually(partial(is_proved, driver, streams), "everything is proved")
        assert await publisher.readiness() == {}
    projections = Projections()
    monkeypatch.setattr(event_documents, "project", projections.project)

    await driver.save_gate("one")
    async with publishing(broker):
        await eventually(partial(is_published, driver, streams), "the change is published")
        await eventually(partial(is_proved, driver, streams), "the change is proved")

    assert set(projections.features) == {"one"}


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 2), (3, 1)])
async def test_the_number_of_streams_changes_under_a_publisher(
    driver: Driver, broker: Broker, before: int, after: int
) -> None:
    streams = await spread_rules(driver.connection.js, before, REGIONS)
    async with publishing(broker) as publisher:
        await eventually(partial(is_published, driver, streams), "everything is published")

        streams = await spread_rules(driver.connection.js, after, REGIONS)

        await eventually(partial(is_published, driver, streams), "everything is published again")
        await driver.save_gate("two")
        await eventually(partial(is_published, driver, streams), "the next event is published")
        await eventually(partial(is_proved, driver, streams), "everything is proved")
        assert await publisher.readiness() == {}
        for name in REGIONS:
            newest = await driver.connection.js.get_last_msg(streams.of(name), subjects.rules_of(name))
            assert REGISTRY.get_sample_value("sluiceway_published_revision", {"region": name}) == newest.seq


async def test_a_stream_that_is_missing_delays_no_other(driver: Driver, broker: Broker) -> None:
    streams = await spread_rules(driver.connection.js, 3, REGIONS)
    group = streams.group_of("staging")
    others = [name for name in REGIONS if streams.group_of(name) != group]
    assert group > 0
    assert others
    await driver.connection.js.delete_stream(streams.of("staging"))
    await driver.save_gate("one")
    starting = asyncio.create_task(run_publisher(broker))
    await eventually(partial(has_rules, driver, streams, "one", others), "the others have it")

    await create_rules_stream(driver.connection.js, streams, group, REGIONS)

    await eventually(partial(is_published, driver, streams), "every region has it")
    await cancel_and_wait(starting)


async def run_publisher(broker: Broker) -> None:
    async with publishing(broker):
        await asyncio.Event().wait()


async def test_a_new_region_is_published_once_its_stream_has_a_place_for_it(
    driver: Driver, broker: Broker
) -> None:
    js = driver.connection.js
    streams = await spread_rules(js, 3, REGIONS)
    assert streams.of(NEIGHBOUR) == streams.of("dev")
    async with publishing(broker):
        await eventually(partial(is_published, driver, streams), "everything is published")
        await driver.saved(SaveRegion, region={**region("dev"), "name": NEIGHBOUR})

        await driver.save_gate("one")
        await eventually(partial(is_published, driver, streams), "all other regions have the next event")

        await place_regions(js, streams, streams.group_of(NEIGHBOUR), [*REGIONS, NEIGHBOUR])
        for gate in GATES:
            await eventually(partial(has_rules, driver, streams, gate, [NEIGHBOUR]), "it has its rules")
