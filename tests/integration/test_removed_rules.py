"""Somebody removes messages from RULES or CATALOG: nobody tells followers, and all is right again anyway."""

from functools import partial
from pathlib import Path

import pytest

from sluiceway.contracts import subjects
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from tests.integration.test_histories import obeys, running
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.edges import running_edge
from tests.support.system import EVERYONE, driving, services
from tests.support.waiting import eventually

ONE = subjects.rule("dev", FeatureKey(FeatureKind.GATE, "one"))


@pytest.mark.parametrize("subject", [None, ONE], ids=["all", "the rules of one feature"])
async def test_a_publisher_goes_on_after_a_purge(broker: Broker, tmp_path: Path, subject: str | None) -> None:
    async with running(broker, tmp_path) as (driver, edge):
        await driver.connection.js.purge_stream(subjects.RULES_STREAM, subject=subject)

        await driver.save_gate("one")
        await driver.save_gate("two", EVERYONE)

        await obeys(edge, {"one": False, "two": True})


async def test_rules_that_were_purged_are_published_again(broker: Broker, tmp_path: Path) -> None:
    async with running(broker, tmp_path) as (driver, edge):
        key = edge.http.headers["x-api-key"]
        await driver.connection.js.purge_stream(subjects.RULES_STREAM)

        async with running_edge(broker.url, "dev", tmp_path / "new", key, is_started=False) as new:
            await eventually(lambda: new.edge.rules.is_whole, "the set is complete")
            await obeys(new, {"one": True})


async def test_a_mark_that_somebody_overwrites_is_written_again(broker: Broker, tmp_path: Path) -> None:
    async with running(broker, tmp_path) as (driver, edge):
        key = edge.http.headers["x-api-key"]
        await driver.connection.js.publish(subjects.complete_set("dev"), b"nonsense")

        async with running_edge(broker.url, "dev", tmp_path / "new", key, is_started=False) as new:
            await eventually(lambda: new.edge.rules.is_whole, "the set is complete")


@pytest.mark.parametrize("stream", [subjects.RULES_STREAM, subjects.CATALOG_STREAM])
async def test_a_publisher_starts_although_the_newest_message_was_removed(
    broker: Broker, tmp_path: Path, stream: str
) -> None:
    async with driving(broker.url) as driver:
        async with services(broker.url):
            await apply_catalogue(driver)
            await driver.save_gate("one", EVERYONE)
        last = (await driver.connection.js.stream_info(stream)).state.last_seq
        await driver.connection.js.delete_msg(stream, last)

        async with services(broker.url):
            await driver.save_gate("one")
            await eventually(partial(_is_off, driver.connection.js), "the rules are published")


async def _is_off(js: object) -> bool:
    message = await js.get_last_msg(subjects.RULES_STREAM, ONE)  # type: ignore[attr-defined]
    return b"everyone" not in message.data
