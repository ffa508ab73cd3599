"""What a leaf node answers is not trusted: whatever it says, its region alone is concerned."""

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, cast

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.errors import APIError

from services.scheduler import region_leaves
from services.scheduler.region_leaves import RegionLeaves
from sluiceway.contracts import subjects
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.region_leaves import OldBroker, RegionLeaf
from tests.support.waiting import eventually

NOT_FOUND = {"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}
CONSUMER = "leaf-0123456789ab"
STATE: Mapping[str, Any] = {
    "messages": 3,
    "bytes": 300,
    "first_seq": 2,
    "last_seq": 9,
    "first_ts": "2026-11-28T12:00:00.000000001Z",
    "last_ts": "2026-11-28T12:00:00.000000002Z",
}

Answer = Mapping[str, Any] | bytes


class FakeClient:
    """Answers requests, and keeps what was asked. Nobody is there for subjects without an answer."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.asked: list[str] = []
        self.stats = {"reconnects": 0}
        self._answers = answers

    async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
        self.asked.append(subject)
        answer = self._answers.get(subject)
        if answer is None:
            raise NoRespondersError
        return Msg(
            cast(Client, self), data=answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        )


def copy_info(copy: str, consumer: str = CONSUMER, state: Mapping[str, Any] = STATE) -> dict[str, Any]:
    """Return the answer of a leaf node whose copy is in order."""
    mirror = {
        "name": copy,
        "external": {"api": "$JS.hub.API", "deliver": ""},
        "consumer": {"name": consumer, "deliver_subject": f"sluiceway.copied.{consumer}"},
    }
    config = {"name": copy, "max_msgs_per_subject": 1, "allow_direct": True, "mirror": mirror}
    return {"config": config, "state": {**STATE, **state}}


def in_order(region: str = "dev", consumer: str = CONSUMER) -> dict[str, Answer]:
    """Return the answers of a leaf node, and of the hub, if nothing is wrong."""
    answers: dict[str, Answer] = {}
    for copy in ("KV_RULES", "KV_CATALOG"):
        answers[subjects.leaf_api(region, f"STREAM.INFO.{copy}")] = copy_info(copy, consumer)
        hub = {
            "config": {"name": copy},
            "state": {**STATE, "consumer_count": 1},
            "created": "2026-11-28T12:00:00Z",
        }
        answers[subjects.region_api(region, f"STREAM.INFO.{copy}")] = hub
        answers[subjects.region_api(region, f"CONSUMER.INFO.{copy}.{consumer}")] = {"name": consumer}
    return answers


def leaf_of(client: FakeClient, region: str = "dev") -> RegionLeaf:
    return RegionLeaf(cast(Client, client), region)


async def test_what_is_in_order_has_no_problem() -> None:
    assert await leaf_of(FakeClient(in_order())).problems() == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"last_seq": 10}, "it holds what the hub does not"),
        ({"messages": 2}, "it holds what the hub does not"),
        ({"bytes": 299}, "it holds what the hub does not"),
        ({"first_seq": 1}, "it holds what the hub does not"),
        # The same was saved again after the hub was restored: as many bytes, at another time.
        ({"last_ts": "2026-11-28T11:00:00Z"}, "it holds what the hub does not"),
        ({"first_ts": "2026-11-28T11:00:00Z"}, "it holds what the hub does not"),
        ({"last_seq": 8, "messages": 1}, None),  # it has not got all of it yet
        ({"last_seq": 0, "messages": 0, "first_seq": 0, "bytes": 0}, None),
    ],
)
async def test_a_copy_is_compared_with_the_one_at_the_hub(
    changed: Mapping[str, Any], why: str | None
) -> None:
    answers = in_order()
    answers[subjects.leaf_api("dev", "STREAM.INFO.KV_RULES")] = copy_info("KV_RULES", state=changed)

    problems = await leaf_of(FakeClient(answers)).problems()

    assert [problem.why for problem in problems] == ([why] if why else [])


@pytest.mark.parametrize(
    "name", ["", "x", "leaf-x", "*", ">", "a b", "x\r\nPUB sluiceway.alerts.x 0\r\n\r\n"]
)
async def test_no_name_that_a_leaf_node_says_gets_into_a_subject(name: str) -> None:
    client = FakeClient(in_order(consumer=name))

    problems = await leaf_of(client).problems()

    assert {problem.why for problem in problems} == {"its configuration is another one"}
    assert not [subject for subject in client.asked if "CONSUMER" in subject]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"5",
        b"{}",
        b'{"error": 5}',
        b'{"error": {"code": "x"}}',
        b'{"error": {"code": 999}}',
        b'{"config": {"name": "KV_RULES"}, "state": {"messages": "x"}}',
        b'{"config": {"name": 5}, "state": {}}',
        b'{"config": {"name": "KV_RULES", "mirror": []}, "state": {}}',
        b'{"state": {"messages": 1' + b"0" * 400 + b"}}",
        b"[" * 100_000,
        # Two that msgspec does not name by an error of its own.
        b'{"config": {"name": "\xff"}}',
        b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
)
async def test_an_answer_that_is_none_is_an_error_and_harms_no_other_region(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answers = in_order("prod-eu") | {subjects.leaf_api("dev", "STREAM.INFO.KV_RULES"): answer}
    client = FakeClient(answers)
    with pytest.raises(APIError):
        await leaf_of(client).problems()

    for _ in range(3):
        await leaves_of(client).check(["dev", "prod-eu", "staging"])

    assert client.asked.count(subjects.leaf_api("prod-eu", "STREAM.INFO.KV_RULES")) == 3


async def repaired(client: FakeClient, leaves: RegionLeaves) -> int:
    """Look once; return how many copies this has replaced."""
    before = len(client.asked)
    await leaves.check(["dev"])
    return len([subject for subject in client.asked[before:] if "leaf.STREAM.DELETE" in subject])


@pytest.mark.parametrize(
    "changed", [{"subjects": {"$KV.CATALOG.key.b": 1}}, {"deleted": [3, 4]}, {"subjects": {}, "deleted": []}]
)
async def test_a_copy_with_other_keys_between_the_same_ends_is_replaced(changed: Mapping[str, Any]) -> None:
    """After each time that the hub or the leaf node was away, or a scheduler was started."""
    details = {"num_deleted": 2, "deleted": [4, 5], "consumer_count": 1}
    held = {"subjects": {"$KV.CATALOG.key.a": 1}, **details}
    answers = in_order()
    ours = subjects.leaf_api("dev", "STREAM.INFO.KV_CATALOG")
    hubs = subjects.region_api("dev", "STREAM.INFO.KV_CATALOG")
    same = copy_info("KV_CATALOG", state=held)
    answers |= {ours: same, hubs: {**same, "created": "2026-11-28T12:00:00Z"}}
    answers[subjects.leaf_api("dev", "STREAM.DELETE.KV_CATALOG")] = {"success": True}
    client = OfAnyConsumer(answers, {"name": CONSUMER})
    leaves = leaves_of(client)
    assert await repaired(client, leaves) == 0

    answers[ours] = copy_info("KV_CATALOG", state={**held, **changed})
    assert await repaired(client, leaves) == 0  # nobody was away
    client.stats["reconnects"] = 1
    assert await repaired(client, leaves) == 1
    assert await repaired(client, leaves_of(client)) == 1


async def test_keys_are_compared_once_the_leaf_node_has_all_and_if_there_are_not_too_many() -> None:
    answers = in_order()
    ours = subjects.leaf_api("dev", "STREAM.INFO.KV_CATALOG")
    hubs = subjects.region_api("dev", "STREAM.INFO.KV_CATALOG")
    answers[ours] = copy_info("KV_CATALOG", state={"last_seq": 8, "subjects": {"$KV.CATALOG.key.b": 1}})
    behind = await leaf_of(FakeClient(answers)).compare_keys()
    many = {**STATE, "messages": 10_000, "num_deleted": 1, "consumer_count": 1}
    answers[hubs] = {"config": {"name": "KV_CATALOG"}, "state": many, "created": "2026-11-28T12:00:00Z"}
    client = FakeClient(answers)

    assert behind == (False, None)
    assert await leaf_of(client).compare_keys() == (True, None)
    assert client.asked == [hubs]


async def test_texts_that_a_leaf_node_chooses_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Each time, it sends another one, and a long one."""
    answers = in_order("prod-eu")
    leaves = leaves_of(FakeClient(answers))

    for number in range(50):
        text = f"{number}\x1b[2J\n" + "x" * 100_000
        error = {"error": {"code": 500, "description": text}}
        answers[subjects.leaf_api("dev", "STREAM.INFO.KV_RULES")] = error
        await leaves.check(["dev", "prod-eu"])

    (line,) = [record.getMessage() for record in caplog.records if "of dev" in record.getMessage()]
    assert "ServerError" in line
    assert len(line) < 400
    assert line.isprintable()


async def test_what_nobody_thought_of_concerns_its_region_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Surprising(FakeClient):
        async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
            if subject.startswith(subjects.leaf_api("dev", "")):
                raise ZeroDivisionError("a surprise")
            return await super().request(subject, data, timeout)

    client = Surprising(in_order("prod-eu"))
    leaves = leaves_of(client)

    for _ in range(3):
        await leaves.check(["dev", "prod-eu"])

    assert client.asked.count(subjects.leaf_api("prod-eu", "STREAM.INFO.KV_RULES")) == 3
    surprises = [record.getMessage() for record in caplog.records if "dev" in record.getMessage()]
    assert surprises == ["internal error: the leaf node of dev: ZeroDivisionError: a surprise"]


async def test_a_leaf_node_that_always_needs_a_repair_gets_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says each time that it has nothing."""
    answers = in_order()
    for copy in ("KV_RULES", "KV_CATALOG"):
        answers[subjects.leaf_api("dev", f"STREAM.INFO.{copy}")] = NOT_FOUND
    client = FakeClient(answers)
    leaves = leaves_of(client)

    for _ in range(100):
        await leaves.check(["dev"])

    assert len([subject for subject in client.asked if "CONSUMER.CREATE" in subject]) == 1


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("answer", [TimeoutError(), NoRespondersError(), copy_info("KV_RULES", consumer="")])
async def test_a_repair_that_fails_leaves_no_consumer_at_the_hub(
    answer: Exception | dict[str, Any], is_there: bool
) -> None:
    class Unwilling(FakeClient):
        async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
            if "leaf.STREAM.CREATE" in subject or "leaf.STREAM.DELETE" in subject:
                if isinstance(answer, Exception):
                    raise answer
                return await FakeClient({subject: answer}).request(subject, data, timeout)
            if "CONSUMER.CREATE" in subject or "CONSUMER.DELETE" in subject:
                self.asked.append(subject)
                return await FakeClient({subject: {"success": True}}).request(subject, data, timeout)
            return await super().request(subject, data, timeout)

    answers = in_order()
    wrong = copy_info("KV_RULES", consumer="x") if is_there else NOT_FOUND
    answers[subjects.leaf_api("dev", "STREAM.INFO.KV_RULES")] = wrong
    client = Unwilling(answers)
    leaf = leaf_of(client)
    (problem,) = await leaf.problems()

    with pytest.raises((TimeoutError, NoRespondersError, OldBroker)):
        await leaf.repair(problem)

    created, deleted = [
        [subject.rpartition(".")[2] for subject in client.asked if f"CONSUMER.{verb}" in subject]
        for verb in ("CREATE", "DELETE")
    ]
    assert deleted == created
    assert len(created) == 1


async def test_repairs_in_vain_are_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time, the hub does not know how it should serve the leaf node."""
    monkeypatch.setattr(region_leaves, "REPAIR_FIRST_SECONDS", 0.0)
    answers = in_order()
    answers[subjects.leaf_api("dev", "STREAM.INFO.KV_RULES")] = NOT_FOUND
    too_old = {"error": {"code": 400, "err_code": 10025, "description": "invalid JSON"}}
    client = OfAnyConsumer(answers, too_old)
    leaves = leaves_of(client)

    with caplog.at_level(logging.INFO):
        for _ in range(20):
            await leaves.check(["dev"])

    assert [record.getMessage() for record in caplog.records][1:] == [
        "copying KV_RULES to the leaf node of dev: it is missing",
        "cannot keep the leaf node of dev: the brokers cannot serve the leaf node of dev; they need "
        "nats-server 2.14 or newer",
    ]


class OfAnyConsumer(FakeClient):
    """Gives the same answer to each request to create a consumer, whatever its name is."""

    def __init__(self, answers: Mapping[str, Answer], created: Answer) -> None:
        super().__init__(answers)
        self._created = created

    async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
        if "CONSUMER.CREATE" not in subject:
            return await super().request(subject, data, timeout)
        return await FakeClient({subject: self._created}).request(subject, data, timeout)


async def test_a_leaf_node_that_is_gone_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    answers = in_order()
    leaves = leaves_of(FakeClient(answers))
    with caplog.at_level(logging.INFO):
        await leaves.check(["dev", "staging"])
        answers.clear()
        for _ in range(5):
            await leaves.check(["dev", "staging"])

    assert [record.getMessage() for record in caplog.records] == [
        "the leaf node of dev answers",
        "the leaf node of dev does not answer; its edges go on with what it has",
    ]


async def test_a_leaf_node_that_answers_nothing_delays_no_other() -> None:
    class Silent(FakeClient):
        async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
            if subject.startswith("sluiceway.region_api.dev."):
                self.asked.append(subject)
                await asyncio.Event().wait()
            return await super().request(subject, data, timeout)

    client = Silent(in_order("prod-eu"))
    checking = asyncio.create_task(leaves_of(client).check(["dev", "prod-eu"]))
    last = subjects.region_api("prod-eu", f"CONSUMER.INFO.KV_CATALOG.{CONSUMER}")
    await eventually(lambda: last in client.asked, "the other one was looked at")
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking


def leaves_of(client: FakeClient) -> RegionLeaves:
    class FakeConnection:
        pass

    connection = FakeConnection()
    connection.client = client  # type: ignore[attr-defined]
    return RegionLeaves(cast(Connection, connection), cast(CatalogueView, None))
