"""The credentials of a region's leaf node open that region, and nothing else, whatever is done with them."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.scheduler import region_leaves
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import SaveRegion
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.jetstream_api import request_jetstream
from sluiceway.settings import BrokerSettings
from tests.support.catalogues import REGIONS, region
from tests.support.edges import create_key
from tests.support.leaves import LeafSystem, leaf_system
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

from .everything import ACKNOWLEDGEMENTS, STREAM_REQUESTS, STREAMS, heard_subjects, published_subjects
from .raw_leaf import raw_leaf
from .roles import covers
from .test_region_accounts import TARGETS, ends, hub_consumers

pytestmark = [pytest.mark.hostile, pytest.mark.asyncio(loop_scope="module")]
LEAF = "leaf-dev"
COPIES = (subjects.RULES_STREAM, subjects.CATALOG_STREAM)
MAY_PUBLISH = (
    "$JS.hub.API.CONSUMER.RESET.KV_RULES.*",
    "$JS.hub.API.CONSUMER.RESET.KV_CATALOG.*",
    "$JS.FC.KV_RULES.>",
    "$JS.FC.KV_CATALOG.>",
    "$JS.hub.API.$KV.APPLIED.dev.*",
    "sluiceway.dead_letters.edge",
    # The hub takes these of every leaf node. In the account of a region they mean nothing of others.
    "$JS.ACK.>",
    "_R_.>",
)
MAY_SUBSCRIBE = (
    "_INBOX.>",
    "$JSC.R.*",
    "sluiceway.copied.*",
    "sluiceway.heartbeats.dev",
    "$JS.leaf-dev.API.STREAM.>",
)
#: What else is in the account of a region, or in those of others.
MORE_SUBJECTS = (
    "$JS.leaf-prod-eu.API.STREAM.INFO.KV_RULES",
    "$JS.leaf-dev.API.STREAM.DELETE.KV_RULES",
    "$JS.hub.API.CONSUMER.RESET.FEATURES.monitor",
    "$JS.hub.API.CONSUMER.RESET.KV_REGIONS.leaf",
    "$JS.hub.API.$KV.APPLIED.prod-eu.edge",
    "$JS.hub.API.$KV.RULES.dev.gate.new_checkout",
    "$KV.APPLIED.dev.edge",
    "$KV.RULES.dev.gate.new_checkout",
    "sluiceway.copied.leaf-000000000000",
    "sluiceway.region_api.dev.leaf.STREAM.INFO.KV_RULES",
    "$JSC.R.00000000",
    "$LDS.x",
)
MORE_PATTERNS = (
    "$JS.hub.API.>",
    "$JS.API.>",
    "$JS.leaf-prod-eu.API.>",
    "$JS.leaf-dev.API.CONSUMER.>",
    "$JS.FC.>",
    "$JSC.>",
    "$KV.RULES.prod-eu.>",
    "sluiceway.heartbeats.>",
    "sluiceway.heartbeats.prod-eu",
    "sluiceway.delivered.dev.>",
    "sluiceway.delivered.prod-eu.>",
    "sluiceway.copied.>",
    "sluiceway.hub_api.>",
    "sluiceway.region_api.>",
    "sluiceway.features.>",
    "$SYS.REQ.>",
)
#: Connections of the attacker at a time: the hub ends each that does what it may not.
TOGETHER = 16


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def leaves(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LeafSystem]:
    """One system for all attacks; its region dev is behind a leaf node."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(region_leaves, "CHECK_EVERY_SECONDS", 0.2)
        async with attacked_system(tmp_path_factory.mktemp("leaves")) as system:
            yield system


@asynccontextmanager
async def attacked_system(folder: Path) -> AsyncIterator[LeafSystem]:
    async with leaf_system(folder) as system:
        await (await system.secured.admin()).save_gate(
            "new_checkout", EVERYONE, releasePipelineID="prod-release"
        )
        await own_consumer(system)
        await filled(system)
        yield system


async def filled(leaves: LeafSystem) -> None:
    """Return once the accounts of all regions have the documents of the regions."""

    async def look() -> bool:
        js = (await leaves.secured.admin()).connection.js
        info = await js.stream_info(subjects.REGIONS_STREAM)
        return info.state.messages >= len(REGIONS)

    await eventually(look, "the documents of all regions are there")


def attempts() -> Iterator[str]:
    """Give every subject that could do harm, in our account's words and in those that cross a leaf node."""
    for subject in (*published_subjects(), *MORE_SUBJECTS):
        yield subject
        if subject.startswith("$JS.API."):
            yield subject.replace("$JS.API.", "$JS.hub.API.", 1)
    for copy in COPIES:
        yield from (f"$JS.hub.API.{request.format(stream=copy)}" for request in STREAM_REQUESTS)
        yield from (answer.format(stream=copy) for answer in ACKNOWLEDGEMENTS)


def is_allowed(patterns: tuple[str, ...], subject: str) -> bool:
    return any(covers(pattern, subject) for pattern in patterns)


async def test_a_leaf_node_publishes_nothing_that_is_not_its_own(leaves: LeafSystem) -> None:
    forbidden = sorted({subject for subject in attempts() if not is_allowed(MAY_PUBLISH, subject)})
    before = await ends_but_rules(leaves)
    slots = asyncio.Semaphore(TOGETHER)

    async def is_refused(subject: str) -> bool:
        async with slots, raw_leaf(leaves.port, LEAF, LEAF) as leaf:
            leaf.publish(subject, b"{}", "_INBOX.x")
            await leaf.all_handled()
            return leaf.is_closed

    refused = await asyncio.gather(*map(is_refused, forbidden))

    assert len(forbidden) > 500
    assert {subject for subject, is_so in zip(forbidden, refused, strict=True) if not is_so} == set()
    assert await ends_but_rules(leaves) == before
    assert b"{}" not in await published_rules(leaves)


async def ends_but_rules(leaves: LeafSystem) -> dict[str, int]:
    """Return the ends of streams that nobody writes to by himself meanwhile."""
    return {stream: end for stream, end in (await ends(leaves.secured)).items() if stream != COPIES[0]}


async def published_rules(leaves: LeafSystem) -> set[bytes]:
    """Return the newest messages of all regions; the publisher may write marks at any time."""
    js = (await leaves.secured.admin()).connection.js
    info = await js.stream_info(COPIES[0], subjects_filter=">")
    found = [await js.get_last_msg(COPIES[0], subject) for subject in info.state.subjects or ()]
    return {message.data or b"" for message in found}


async def test_a_leaf_node_hears_nothing_that_is_not_its_own(leaves: LeafSystem) -> None:
    """The hub takes a subscription with wildcards, and delivers to it what the permissions allow."""
    patterns = sorted({*heard_subjects(), *MORE_PATTERNS})
    async with AsyncExitStack() as stack:
        listening = []
        for pattern in patterns:
            leaf = await stack.enter_async_context(raw_leaf(leaves.port, LEAF, LEAF))
            leaf.subscribe(pattern)
            await leaf.all_handled()
            listening.append(leaf)
        await busy(leaves)
        await eventually(lambda: any(leaf.messages for leaf in listening), "something has arrived")
        for leaf in listening:
            await leaf.all_handled()

    heard = {message.subject for leaf in listening for message in leaf.messages}
    assert {subject for subject in heard if not is_allowed(MAY_SUBSCRIBE, subject)} == set()
    assert subjects.heartbeat("dev") in heard


async def busy(leaves: LeafSystem) -> None:
    """Let every service write something, also for other regions."""
    admin = await leaves.secured.admin()
    await create_key(admin, region="prod-eu")
    await create_key(admin, region="dev")
    await admin.save_gate(f"gate-{uuid.uuid4()}", EVERYONE)
    await admin.saved(SaveRegion, region=region(f"qa-{uuid.uuid4()}", "staging"))
    pager = await leaves.secured.driver("pager", "pager")
    await pager.alert("HighErrorRate", source="pager")
    async with connected(
        BrokerSettings(nats_url=leaves.secured.url("edge-prod-eu", "edge")), "other"
    ) as other:
        await other.js.publish(subjects.applied("prod-eu", "edge"), b"{}")
        await eventually(lambda: _has_heard(other), "a heartbeat of another region has passed")


async def _has_heard(other: Connection) -> bool:
    heard = await other.client.subscribe(subjects.heartbeat("prod-eu"))
    return bool(await heard.next_msg(timeout=10))


async def test_nothing_is_written_where_a_leaf_node_wants_it(leaves: LeafSystem) -> None:
    """It names subjects for the answers to all that it may ask."""
    consumer = await own_consumer(leaves)
    before, consumers = await ends_but_rules(leaves), await hub_consumers(leaves.secured)
    async with raw_leaf(leaves.port, LEAF, LEAF) as leaf:
        for target in TARGETS:
            for copy in COPIES:
                leaf.publish(f"$JS.hub.API.CONSUMER.RESET.{copy}.{consumer}", b"", target)
                leaf.publish(f"$JS.hub.API.CONSUMER.RESET.{copy}.none", b"{}", target)
            leaf.publish("$JS.hub.API.$KV.APPLIED.dev.sly", b"{}", target)
            leaf.publish("sluiceway.dead_letters.edge", b"{}", target)
        await leaf.all_handled()

        async def is_stored() -> bool:
            return (await ends_but_rules(leaves))["DEAD_LETTERS"] >= before["DEAD_LETTERS"] + len(TARGETS)

        await eventually(is_stored, "the last message has arrived")
    after = await ends_but_rules(leaves)
    assert b"{}" not in await published_rules(leaves)
    # What it published itself, under its own name.
    assert after == {**before, "DEAD_LETTERS": before["DEAD_LETTERS"] + len(TARGETS)}
    assert await hub_consumers(leaves.secured) == consumers
    js = (await leaves.secured.admin()).connection.js
    reports = await js.stream_info(subjects.APPLIED_STREAM, subjects_filter="$KV.APPLIED.*.sly")
    assert set(reports.state.subjects or ()) == {subjects.applied("dev", "sly")}
    letters = await js.stream_info("DEAD_LETTERS", subjects_filter=">")
    assert set(letters.state.subjects or ()) == {subjects.dead_letters("edge", "dev")}


async def own_consumer(leaves: LeafSystem) -> str:
    """Return what the copy of the rules reads, once there is one."""
    async with owner(leaves) as connection:

        async def look() -> str:
            try:
                info = await request_jetstream(connection.client, f"$JS.API.STREAM.INFO.{COPIES[0]}")
            except Exception:  # not created yet
                return ""
            return str(info["config"]["mirror"]["consumer"]["name"])

        return str(await eventually(look, "the rules are copied"))


def owner(leaves: LeafSystem) -> Any:
    """Connect to the leaf node as somebody who may do everything there."""
    return connected(BrokerSettings(nats_url=leaves.admin_url), "sly")


async def test_a_leaf_node_that_its_owner_turns_hears_of_no_other_region(leaves: LeafSystem) -> None:
    """A real nats-server, on which everything is subscribed to while others are busy."""
    admin = await leaves.secured.admin()
    async with owner(leaves) as sly:
        heard: list[tuple[str, bytes]] = []

        async def hear(message: Any) -> None:
            heard.append((message.subject, message.data))

        await sly.client.subscribe(">", cb=hear)
        await sly.client.flush()
        others = await create_key(admin, region="prod-eu")
        mine = await create_key(admin, region="dev")
        await busy(leaves)
        await eventually(lambda: any(mine.split("-")[1].encode() in body for _, body in heard), "its own key")
        await eventually(lambda: any(".heartbeats.dev" in subject for subject, _ in heard), "a heartbeat")

    regions = {
        subject.split(".")[2] for subject, _ in heard if subject.startswith(("$KV.RULES", "$KV.REGIONS"))
    }
    assert regions <= {"dev"}
    assert {subject for subject, _ in heard if "heartbeats" in subject} == {"sluiceway.heartbeats.dev"}
    bodies = b"".join(body for _, body in heard)
    assert others.split("-")[1].encode() not in bodies
    assert b'"qa-' not in bodies


@pytest.mark.parametrize("api", ["$JS.hub.API", "sluiceway.hub_api", "$JS.leaf-prod-eu.API"])
async def test_a_leaf_node_copies_nothing_but_its_region(leaves: LeafSystem, api: str) -> None:
    """Its owner creates mirrors and sources of everything; those without rights stay empty."""
    async with owner(leaves) as sly:
        created = []
        for stream in (*STREAMS, *COPIES):
            for kind in ("mirror", "sources"):
                name = f"SLY_{uuid.uuid4()}"
                origin = {"name": stream, "external": {"api": api, "deliver": "sluiceway.copied"}}
                wanted = {kind: origin if kind == "mirror" else [origin]}
                body = {"name": name, "storage": "memory", **wanted}
                await request_jetstream(sly.client, f"$JS.API.STREAM.CREATE.{name}", body)
                created.append(name)
        before = (await sly.js.stream_info(COPIES[0])).state.last_seq
        await busy(leaves)

        async def is_copied() -> bool:
            return bool((await sly.js.stream_info(COPIES[0])).state.last_seq > before)

        await eventually(is_copied, "its own rules are copied")
        assert await answers(sly, api) == []

        infos = [await sly.js.stream_info(name) for name in created]
        for name in created:
            await sly.js.delete_stream(name)
    assert {info.config.name for info in infos if info.state.messages} == set()


async def answers(sly: Connection, api: str) -> list[bytes]:
    """Ask the hub everything about every stream, as its owner can; return what is answered."""
    inbox = sly.client.new_inbox()
    heard: list[bytes] = []

    async def hear(message: Any) -> None:
        heard.append(message.data)

    await sly.client.subscribe(inbox, cb=hear)
    for stream in (*STREAMS, *COPIES):
        for request in STREAM_REQUESTS:
            await sly.client.publish(f"{api}.{request.format(stream=stream)}", b"{}", reply=inbox)
    # This it may send, and the hub answers in order.
    await sly.client.request(subjects.dead_letters("edge"), b"{}", timeout=10)
    return [data for data in heard if data]


async def test_the_credentials_of_a_leaf_node_open_no_other_connection(leaves: LeafSystem) -> None:
    assert await leaves.secured.greets(user="pager", **{"pass": "pager"}) == b"+OK\r\n"
    assert await leaves.secured.greets(user=LEAF, **{"pass": LEAF}) == b"-ERR 'Authorization Violation'\r\n"


async def test_a_consumer_that_begins_again_gives_its_region_only(leaves: LeafSystem) -> None:
    consumer = await own_consumer(leaves)
    async with raw_leaf(leaves.port, LEAF, LEAF) as leaf:
        leaf.subscribe(f"sluiceway.copied.{consumer}")
        leaf.subscribe("_INBOX.sly")
        for body in ({}, {"seq": 1}, {"seq": 1, "filter_subject": ">"}, {"config": {"deliver_subject": "x"}}):
            request = json.dumps(body).encode()
            leaf.publish(f"$JS.hub.API.CONSUMER.RESET.{COPIES[0]}.{consumer}", request, "_INBOX.sly")
        await eventually(lambda: len(leaf.messages) >= 4, "it is answered")
        await leaf.all_handled()

    assert {message.subject.split(".")[2] for message in leaf.messages if "RULES" in message.subject} <= {
        "dev"
    }
