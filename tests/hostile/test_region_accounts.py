"""The credentials of a region's edge open that region, and nothing else, whatever they ask the broker for."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sluiceway.contracts import subjects
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.jetstream_api import API, request_jetstream
from sluiceway.messaging.streams import SPACE_STREAM
from sluiceway.settings import BrokerSettings
from tests.support.edges import create_key
from tests.support.secured import Secured
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

from .everything import STREAMS

pytestmark = [pytest.mark.hostile, pytest.mark.asyncio(loop_scope="module")]
COPIES = (subjects.RULES_STREAM, subjects.CATALOG_STREAM)
#: Where the broker might be made to write, by a reply or by what a consumer delivers.
TARGETS = (
    "$KV.CATALOG.pipeline.prod-release",
    "$KV.CATALOG.key.sly",
    "$KV.RULES.prod-eu.gate.new_checkout",
    "$KV.RULES.dev.gate.new_checkout",
    "$KV.REGIONS.prod-eu.key.sly",
    "$KV.REGIONS.dev.key.sly",
    "$KV.APPLIED.prod-eu.edge",
    "sluiceway.features.gate.new_checkout",
    "sluiceway.commands.save_environment.console",
    "sluiceway.commands.roll_back.monitor",
    "sluiceway.alerts.pager",
    "sluiceway.clearance",
    "sluiceway.measurements.gate.g.1.dev.errors",
    "sluiceway.dead_letters.scheduler",
    "sluiceway.delivered.prod-eu.x",
    "sluiceway.heartbeats.dev",
    "sluiceway.heartbeats.prod-eu",
    "sluiceway.hub_api.CONSUMER.CREATE.KV_RULES.sly.$KV.RULES.dev.>",
    "sluiceway.region_api.prod-eu.STREAM.DELETE.KV_RULES",
    "$JS.API.STREAM.DELETE.KV_RULES",
    "$JS.API.CONSUMER.CREATE.KV_RULES.sly.$KV.RULES.prod-eu.>",
)
HARMFUL_HEADERS = (
    {"Nats-Rollup": "all"},
    {"Nats-Rollup": "sub"},
    {"Nats-TTL": "1s"},
    {"Nats-Incr": "+1"},
    {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
    {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "$KV.APPLIED.prod-eu.edge"},
    {"Nats-Expected-Stream": "KV_RULES"},
    {"Nats-Expected-Last-Sequence": "1"},
)


@asynccontextmanager
async def edge_of(attacked: Secured, region: str = "dev") -> AsyncIterator[Connection]:
    """Connect with the credentials of a region's edge, once its account is filled."""
    url = attacked.url(f"edge-{region}", "edge")
    async with connected(BrokerSettings(nats_url=url), "sly") as connection:

        async def is_filled() -> bool:
            return f"$KV.CATALOG.region.{region}" in await subjects_in(connection, COPIES[1])

        await eventually(is_filled, "the account has the region's documents")
        yield connection


async def subjects_in(connection: Connection, stream: str) -> set[str]:
    try:
        info = await request_jetstream(
            connection.client, f"{API}.STREAM.INFO.{stream}", {"subjects_filter": ">"}
        )
    except Exception:  # not created yet
        return set()
    return set(info["state"].get("subjects") or ())


async def consumer(connection: Connection, stream: str, name: str, **config: Any) -> dict[str, Any]:
    """Create a consumer as an attacker would, and return the answer."""
    asked = {"name": name, "deliver_policy": "all", "ack_policy": "none", **config}
    return await request_jetstream(
        connection.client,
        f"{API}.CONSUMER.CREATE.{stream}.{name}",
        {"stream_name": stream, "config": asked},
    )


async def ends(attacked: Secured) -> dict[str, int]:
    """Return the end of each of our streams, without what services write by themselves all the time."""
    js = (await attacked.stream_admin()).connection.js
    changing = (subjects.PROBES_STREAM, SPACE_STREAM, subjects.APPLIED_STREAM)
    return {
        stream: (await js.stream_info(stream)).state.last_seq for stream in STREAMS if stream not in changing
    }


async def test_a_region_sees_its_own_rules_and_keys_only(attacked: Secured) -> None:
    admin = await attacked.admin()
    await admin.save_gate("everywhere", EVERYONE)
    mine = await create_key(admin, region="dev")
    theirs = await create_key(admin, region="prod-eu")
    productions = await create_key(admin, environment="production")
    async with edge_of(attacked) as edge:
        await eventually(lambda: _has_key(edge, mine), "its own key has arrived")
        rules, documents = [await subjects_in(edge, stream) for stream in COPIES]

    assert {subject.split(".")[2] for subject in rules} == {"dev"}
    assert {subject.split(".")[2] for subject in documents} == {"region", "key"}
    assert "$KV.CATALOG.region.prod-eu" not in documents
    assert not {
        subject for subject in documents for key in (theirs, productions) if key.split("-")[1] in subject
    }


async def _has_key(edge: Connection, key: str) -> bool:
    return any(key.split("-")[1] in subject for subject in await subjects_in(edge, COPIES[1]))


@pytest.mark.parametrize(
    "wanted", ["$KV.RULES.prod-eu.>", "$KV.RULES.*.>", ">", "$KV.RULES.prod-eu.gate.new_checkout"]
)
async def test_a_consumer_of_other_regions_gets_nothing_of_them(attacked: Secured, wanted: str) -> None:
    async with edge_of(attacked) as edge:
        inbox = edge.client.new_inbox()
        heard: list[str] = []

        async def hear(message: Any) -> None:
            heard.append(message.subject)

        await edge.client.subscribe(inbox, cb=hear)
        created = await consumer(edge, COPIES[0], "lying", filter_subject=wanted, deliver_subject=inbox)
        await eventually(lambda: len(heard) >= created["num_pending"], "everything has been delivered")
        await edge.js.delete_consumer(COPIES[0], "lying")

    assert {subject.split(".")[2] for subject in heard} <= {"dev"}


async def test_no_answer_and_no_delivery_is_written_where_a_region_wants_it(attacked: Secured) -> None:
    async with edge_of(attacked) as edge:
        before, consumers = await ends(attacked), await hub_consumers(attacked)
        for number, target in enumerate(TARGETS):
            for copy in COPIES:
                name = f"sly{number}"
                body = {
                    "name": name,
                    "deliver_policy": "all",
                    "ack_policy": "none",
                    "deliver_subject": target,
                }
                # Its answer looks like a request for a consumer itself.
                request = json.dumps({"stream_name": copy, "config": body}).encode()
                await edge.client.publish(f"{API}.CONSUMER.CREATE.{copy}.{name}", request, reply=target)
                await edge.client.publish(f"{API}.STREAM.INFO.{copy}", b"", reply=target)
                await edge.client.publish(f"{API}.CONSUMER.DELETE.{copy}.none", b"", reply=target)
            await edge.client.publish(subjects.applied("dev", "sly"), b"{}", reply=target)
            await edge.client.publish(subjects.dead_letters("edge"), b"{}", reply=target)
        await edge.js.stream_info(COPIES[0])  # whatever came before is answered

        async def is_stored() -> bool:
            return (await ends(attacked))["DEAD_LETTERS"] >= before["DEAD_LETTERS"] + len(TARGETS)

        await eventually(is_stored, "the last message has arrived")
        after = await ends(attacked)
        # What it published itself, under its own name.
        assert after == {**before, "DEAD_LETTERS": before["DEAD_LETTERS"] + len(TARGETS)}
        assert await hub_consumers(attacked) == consumers
        assert await reporting_regions(attacked) <= {"dev"}
        for number in range(len(TARGETS)):
            for copy in COPIES:
                await edge.client.publish(f"{API}.CONSUMER.DELETE.{copy}.sly{number}", b"")


async def hub_consumers(attacked: Secured) -> set[str]:
    js = (await attacked.stream_admin()).connection.js
    return {
        str(info.config.deliver_subject)
        for stream in (subjects.RULES_STREAM, subjects.REGIONS_STREAM)
        for info in await js.consumers_info(stream)
    }


async def reporting_regions(attacked: Secured) -> set[str]:
    js = (await attacked.stream_admin()).connection.js
    info = await js.stream_info(subjects.APPLIED_STREAM, subjects_filter=">")
    return {subject.split(".")[2] for subject in info.state.subjects or ()}


@pytest.mark.parametrize("headers", HARMFUL_HEADERS, ids=lambda headers: next(iter(headers)))
async def test_no_header_of_a_report_changes_what_others_reported(
    attacked: Secured, headers: dict[str, str]
) -> None:
    js = (await attacked.stream_admin()).connection.js
    async with edge_of(attacked, "prod-eu") as other:
        await other.js.publish(subjects.applied("prod-eu", "edge"), b"{}")
    async with edge_of(attacked) as edge:
        subject = subjects.applied("dev", "sly")
        reply = await edge.client.request(subject, b"{}", headers=headers, timeout=2)

    stored = await js.stream_info(subjects.APPLIED_STREAM, subjects_filter="$KV.APPLIED.prod-eu.*")
    assert "$KV.APPLIED.prod-eu.edge" in (stored.state.subjects or {})
    assert "error" in json.loads(reply.data)


async def test_the_id_of_a_message_is_no_ones_else(attacked: Secured) -> None:
    """Ids are one name space per stream; nobody but alert senders has any."""
    async with edge_of(attacked) as edge:
        await edge.js.publish(subjects.applied("dev", "sly"), b"{}", headers={"Nats-Msg-Id": "edge"})
    async with edge_of(attacked, "prod-eu") as other:
        stored = await other.js.publish(subjects.applied("prod-eu", "edge"), b"{}")

    assert not stored.duplicate


async def test_a_dead_letter_says_which_regions_edge_wrote_it(attacked: Secured) -> None:
    async with edge_of(attacked) as edge:
        stored = await edge.js.publish(subjects.dead_letters("edge"), b"{}")

    letter = await (await attacked.stream_admin()).connection.js.get_msg(
        subjects.DEAD_LETTERS_STREAM, stored.seq
    )
    assert letter.subject == subjects.dead_letters("edge", "dev")
