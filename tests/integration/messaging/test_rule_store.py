"""What a publisher reads of RULES: headers only, and the marks of an older version too."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.rule_document import CompleteSet
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rule_table import RuleKey, RuleVersion
from sluiceway.messaging.rule_writes import RuleWrite
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.history import SavedStore
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

DOCUMENT_BYTES = 50_000
DOCUMENTS = 20
#: Later than every epoch that a publisher begins meanwhile.
LATER_EPOCH = 9_000_000_000_000
GATE = FeatureKey(FeatureKind.GATE, "one")
MARK = subjects.complete_set("dev")


@pytest.fixture
async def driver(broker: Broker) -> AsyncIterator[Driver]:
    async with driving(broker.url) as driver:
        async with services(broker.url):
            await apply_catalogue(driver)
            await driver.save_gate("other", EVERYONE)
            await driver.published("other")
        yield driver


def an_old_mark(epoch: int) -> bytes:
    """Return a mark as version 0.1.0 has written it: without headers."""
    return CompleteSet(region="dev", epoch=epoch, log_sequence=1).to_json()


async def test_the_store_reads_no_document(driver: Driver) -> None:
    keys = [RuleKey("dev", FeatureKey(FeatureKind.GATE, f"gate{number}")) for number in range(DOCUMENTS)]
    async with RuleStore(driver.connection) as store:
        await store.caught_up()
        document = bytes(DOCUMENT_BYTES)
        await store.write([RuleWrite(key, 1, RuleVersion(1, 1), "0123", 1, document) for key in keys])
    received = driver.connection.client.stats["in_bytes"]

    async with RuleStore(driver.connection) as again:
        await again.caught_up()

    assert [again.published(key).checksum for key in keys] == ["0123"] * DOCUMENTS
    assert driver.connection.client.stats["in_bytes"] - received < DOCUMENT_BYTES


async def test_a_document_of_ones_own_that_a_restore_took_back_is_not_taken_for_published(
    driver: Driver, broker: Broker, tmp_path: Path
) -> None:
    if not (tmp_path / "broker" / "jetstream").exists():
        pytest.skip("the store of a broker in a container cannot be replaced")
    saved, key = SavedStore(broker, tmp_path / "broker"), RuleKey("dev", GATE)
    saved.save()
    await eventually(lambda: driver.connection.client.is_connected, "the broker is back")
    async with RuleStore(driver.connection) as store:
        await store.caught_up()
        store.follower._broken.set()  # the echo of the next document does not arrive
        await store.write([RuleWrite(key, 1, RuleVersion(1, 1), "0123", 1, b"{}")])

        saved.restore()

        await eventually(lambda: store.follower.resets == 1, "the stream is read again")
        await store.caught_up()
        assert store.published(key).sequence == 0


async def test_the_epoch_of_an_older_versions_mark_is_read_from_its_body(driver: Driver) -> None:
    async with RuleStore(driver.connection) as store:
        await store.caught_up()
        foreign: list[str] = []
        store.on_foreign_mark = foreign.append
        await driver.connection.js.publish(MARK, an_old_mark(LATER_EPOCH))
        await store.catch_up()

        assert store.epoch == LATER_EPOCH
        assert store.is_marked("dev")
        assert foreign == []


async def test_a_body_that_is_no_mark_is_overwritten(driver: Driver) -> None:
    async with RuleStore(driver.connection) as store:
        await store.caught_up()
        foreign: list[str] = []
        store.on_foreign_mark = foreign.append
        await driver.connection.js.publish(MARK, b"nonsense")
        await store.catch_up()

        assert foreign == ["dev"]


async def test_a_mark_says_its_epoch_in_a_header_and_in_its_body(driver: Driver) -> None:
    message = await driver.connection.js.get_last_msg(subjects.RULES_STREAM, MARK)

    mark = CompleteSet.model_validate_json(message.data or b"")
    assert (message.headers or {})[envelope.EPOCH] == str(mark.epoch)


async def test_a_publisher_beside_one_of_an_older_version_leaves_its_marks(
    driver: Driver, broker: Broker
) -> None:
    js = driver.connection.js
    before = (await js.get_last_msg(subjects.RULES_STREAM, MARK)).seq

    async def is_marked_again() -> bool:
        return (await js.get_last_msg(subjects.RULES_STREAM, MARK)).seq != before

    async with services(broker.url):
        await eventually(is_marked_again, "the publisher has started")
        ack = await js.publish(MARK, an_old_mark(LATER_EPOCH))

        async def has_the_epoch() -> bool:
            await driver.save_gate("one", EVERYONE)
            await driver.save_gate("one")
            await driver.published("one")
            message = await js.get_last_msg(subjects.RULES_STREAM, subjects.rule("dev", GATE))
            return bool(message.headers and message.headers[envelope.EPOCH] == str(LATER_EPOCH))

        await eventually(has_the_epoch, "rules are published in the epoch of that mark")

        assert (await js.get_last_msg(subjects.RULES_STREAM, MARK)).seq == ack.seq
