"""A publisher that starts projects what no checkpoint proves, and nothing else; RULES is right anyway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from services.evaluator_publisher import checkpoints, event_documents, fan_out
from services.evaluator_publisher.app import EvaluatorPublisher
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.catalogue import Region
from sluiceway.contracts.checkpoint import Checkpoint
from sluiceway.contracts.commands import AbortTrigger, SaveRegion
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rule_table import NOTHING, RuleKey
from sluiceway.pipelines.projection import checksum, project, project_each
from sluiceway.settings import ServiceSettings
from tests.integration.test_unpublishable import append, holds, passing
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase, region
from tests.support.history import SavedStore
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

GATES = ("one", "two", "three", "four")
LONG_MS = 3_600_000
CYCLES = 4
CHANGES = 3


def a_key(gate: str) -> FeatureKey:
    return FeatureKey(FeatureKind.GATE, gate)


class Projections:
    """Which features were projected."""

    def __init__(self) -> None:
        self.features: list[str] = []

    def project(self, event: Any, *details: Any) -> Any:
        self.features.append(event.feature.name)
        return project(event, *details)


@pytest.fixture
def projected(monkeypatch: pytest.MonkeyPatch) -> Projections:
    projections = Projections()
    monkeypatch.setattr(event_documents, "project", projections.project)
    monkeypatch.setattr(fan_out, "CHECKPOINT_EVERY_SECONDS", 0.05)
    return projections


@pytest.fixture
async def driver(broker: Broker, projected: Projections) -> AsyncIterator[Driver]:
    """Four gates are published, and one of them is being released; everything is proved."""
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        async with publishing(driver, broker):
            await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
            for gate in GATES:
                await driver.save_gate(gate, EVERYONE)
            await driver.save_gate("four", passing("one"), releasePipelineID=PIPELINE)
        projected.features.clear()
        yield driver


@asynccontextmanager
async def publishing(driver: Driver, broker: Broker) -> AsyncIterator[None]:
    """Run a publisher, until everything is proved after the block."""
    async with EvaluatorPublisher(ServiceSettings(nats_url=broker.url)):
        yield
        await eventually(partial(is_proved, driver), "everything is proved")


async def checkpoint(driver: Driver) -> Checkpoint | None:
    try:
        message = await driver.connection.js.get_last_msg(subjects.RULES_STREAM, subjects.checkpoint())
    except NotFoundError:
        return None
    try:
        return Checkpoint.model_validate_json(message.data or b"")
    except ValidationError:
        return None


async def is_proved(driver: Driver) -> bool:
    last = (await driver.connection.js.stream_info(subjects.FEATURES_STREAM)).state.last_seq
    stored = await checkpoint(driver)
    return stored is not None and stored.log_sequence == last and await is_right(driver)


async def is_right(driver: Driver) -> bool:
    """Return whether RULES holds what every feature projects to in every region."""
    connection = driver.connection
    async with (
        FeatureView(connection, driver.log) as features,
        CatalogueView(connection) as catalogue,
        RuleStore(connection) as rules,
    ):
        for view in (features, catalogue, rules):
            await view.caught_up()
        regions = [each.document for each in catalogue.all("region") if isinstance(each.document, Region)]
        for entry in features:
            for name, document in project_each(entry.event, entry.sequence, regions).items():
                expected = checksum(document) if document else NOTHING
                if rules.published(RuleKey(name, entry.key)).checksum != expected:
                    return False
    return True


async def test_a_start_projects_nothing_that_is_proved(
    driver: Driver, broker: Broker, projected: Projections
) -> None:
    async with publishing(driver, broker):
        await driver.save_gate("two")

    assert set(projected.features) == {"two"}


async def test_what_was_saved_meanwhile_is_projected_and_nothing_else(
    driver: Driver, broker: Broker, projected: Projections
) -> None:
    await driver.save_gate("three")
    async with publishing(driver, broker):
        pass

    assert set(projected.features) == {"three"}


async def test_another_version_of_the_code_projects_everything(
    driver: Driver, broker: Broker, projected: Projections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "code_digest", lambda: "another")
    async with publishing(driver, broker):
        await eventually(lambda: set(projected.features) == {*GATES}, "everything is projected")
        await eventually(partial(_is_of, driver, "another"), "that code has proved it")


async def _is_of(driver: Driver, code: str) -> bool:
    stored = await checkpoint(driver)
    return stored is not None and stored.projection.startswith(code)


async def test_a_document_that_was_removed_meanwhile_is_published_again(
    driver: Driver, broker: Broker
) -> None:
    place = subjects.rule("staging", a_key("one"))
    await driver.connection.js.purge_stream(subjects.RULES_STREAM, subject=place)

    async with publishing(driver, broker):
        await driver.published("one", "staging")


async def test_what_another_publisher_has_written_over_it_is_not_proved(
    driver: Driver, broker: Broker, projected: Projections
) -> None:
    async with EvaluatorPublisher(ServiceSettings(nats_url=broker.url)):
        await eventually(partial(is_proved, driver), "everything is proved")
        sequence = await overwrite(driver, "dev", "two")
        await driver.save_gate("three")

        async def leaves_it_out() -> bool:
            stored = await checkpoint(driver)
            return (
                stored is not None and stored.rules_sequence > sequence and stored.unproved == ("gate.two",)
            )

        await eventually(leaves_it_out, "the next checkpoint leaves it out")
    async with publishing(driver, broker):
        pass

    assert await is_right(driver)


async def overwrite(driver: Driver, region: str, gate: str) -> int:
    """Write something else over a document, as a publisher of another version could; return its sequence."""
    place = subjects.rule(region, a_key(gate))
    known = await driver.connection.js.get_last_msg(subjects.RULES_STREAM, place)
    headers = {
        name: value for name, value in (known.headers or {}).items() if not name.lower().startswith("nats-")
    }
    headers[envelope.CHECKSUM] = "0" * 16
    headers.setdefault(envelope.FIRST, str(known.seq))
    return (await driver.connection.js.publish(place, known.data or b"", headers=headers)).seq


async def test_a_document_that_was_written_meanwhile_is_checked_and_nothing_else(
    driver: Driver, broker: Broker, projected: Projections
) -> None:
    await overwrite(driver, "dev", "two")
    async with publishing(driver, broker):
        pass

    assert set(projected.features) == {"two"}


async def test_a_region_that_was_changed_meanwhile_is_checked(driver: Driver, broker: Broker) -> None:
    place = subjects.rule("dev", a_key("four"))
    before = await driver.connection.js.get_last_msg(subjects.RULES_STREAM, place)
    # The first phase of the release does not cover it any more.
    await driver.saved(SaveRegion, region={**region("dev"), "attributes": {}})
    async with publishing(driver, broker):
        pass

    after = await driver.connection.js.get_last_msg(subjects.RULES_STREAM, place)
    assert after.data != before.data


async def test_a_checkpoint_of_documents_that_are_lost_proves_nothing(
    driver: Driver, broker: Broker, projected: Projections
) -> None:
    stored = await checkpoint(driver)
    assert stored
    lying = stored.model_copy(update={"rules_sequence": stored.rules_sequence + 1_000})
    await driver.connection.js.publish(subjects.checkpoint(), lying.to_json())
    async with publishing(driver, broker):
        await eventually(lambda: set(projected.features) == {*GATES}, "everything is projected")


async def test_what_is_substituted_is_looked_at_again_after_a_start(driver: Driver, broker: Broker) -> None:
    async with EvaluatorPublisher(ServiceSettings(nats_url=broker.url)):
        await driver.save_gate("one", passing("two"))
        await append(driver, "two", FeatureKind.GATE, passing("one", name="circle"))
        await holds(driver, "one", "only")
        await holds(driver, "two", "everyone")

        async def leaves_it_out() -> bool:
            stored = await checkpoint(driver)
            return stored is not None and stored.unproved == ("gate.two",)

        await eventually(leaves_it_out, "a checkpoint leaves it out")
    async with EvaluatorPublisher(ServiceSettings(nats_url=broker.url)):
        await driver.save_gate("one", EVERYONE)
        await holds(driver, "two", "circle")


@pytest.mark.parametrize("streams", [(subjects.FEATURES_STREAM,), (subjects.RULES_STREAM,), ()], ids=str)
async def test_a_history_that_went_back_and_on_is_not_taken_for_the_one_that_was_proved(
    broker: Broker, tmp_path: Path, projected: Projections, streams: tuple[str, ...]
) -> None:
    if not (tmp_path / "broker" / "jetstream").exists():
        pytest.skip("the store of a broker in a container cannot be replaced")
    store = SavedStore(broker, tmp_path / "broker")
    async with services(broker.url, publishers=0), driving(broker.url) as driver:
        async with publishing(driver, broker):
            await apply_catalogue(driver)
            await driver.save_gate("one", EVERYONE)
        store.save()
        await eventually(partial(driver.answered, AbortTrigger, trigger="gate.unknown.1"), "it is back")
        async with publishing(driver, broker):
            await driver.save_gate("one")
            await driver.save_gate("two", EVERYONE)
        store.restore(*streams)
        await eventually(partial(driver.answered, AbortTrigger, trigger="gate.unknown.1"), "it is back")
        # The new history has other events at the same sequences, and one more.
        for gate, rules in (("two", []), ("one", [EVERYONE]), ("three", [EVERYONE])):
            await driver.save_gate(gate, *rules, description="again")

        async with publishing(driver, broker):
            pass


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_between_starts_rules_is_right_after_each(
    driver: Driver, broker: Broker, seed: int
) -> None:
    random = Random(seed)
    for _ in range(CYCLES):
        async with publishing(driver, broker):
            for _ in range(random.randrange(CHANGES)):
                await change(driver, random)
        for _ in range(random.randrange(CHANGES)):
            await change(driver, random)
            await damage(driver, random)
    async with publishing(driver, broker):
        pass


async def change(driver: Driver, random: Random) -> None:
    gate = random.choice(GATES[:3])
    if random.random() < 0.3:
        attributes = {"region": random.choice(("dev", "elsewhere"))}
        await driver.saved(SaveRegion, region={**region("dev"), "attributes": attributes})
    else:
        rules = random.choice(([], [EVERYONE], [passing("four")] if gate != "one" else [EVERYONE]))
        await driver.save_gate(gate, *rules, description=str(random.random()))


async def damage(driver: Driver, random: Random) -> None:
    place = subjects.rule(random.choice(("dev", "staging")), a_key(random.choice(GATES)))
    match random.randrange(4):
        case 0:
            await driver.connection.js.purge_stream(subjects.RULES_STREAM, subject=place)
        case 1:
            await driver.connection.js.publish(place, b"nonsense")
        case 2:
            await driver.connection.js.purge_stream(subjects.RULES_STREAM, subject=subjects.checkpoint())
        case _:
            await driver.connection.js.publish(subjects.checkpoint(), b"nonsense")
