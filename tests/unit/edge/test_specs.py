"""The payload of a region: what it holds, what a change costs, and who is woken when."""

import asyncio
import gzip
import hashlib
import json
import random
from typing import Any

import pytest

from services.edge import gzip_stream, spec_parts, specs
from services.edge.spec_parts import SpecParts
from services.edge.specs import NEXT_PAYLOAD_SECONDS, SpecFeed, SpecPayload
from services.edge.waiters import WOKEN_AT_ONCE, Waiters
from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.stream_records import Position
from tests.support.edges import gate_document, gate_record
from tests.support.waiting import eventually

PARTS = ("feature_gates", "dynamic_configs", "condition_map", "override_rules", "overrides")


def a_feed(gates: int) -> tuple[RegionRules, SpecFeed]:
    rules = RegionRules("dev")
    rules.replace(map(gate_document, map("gate{:05}".format, range(gates))), Position("created", 1, 1), 1)
    return rules, SpecFeed(rules)


def latest(feed: SpecFeed) -> SpecPayload:
    payload = feed.latest()
    assert payload
    return payload


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    """Return the first argument of each call of a function from now on."""
    calls, function = [], getattr(module, name)

    def call(*arguments: Any, **more: Any) -> Any:
        calls.append(arguments[0])
        return function(*arguments, **more)

    monkeypatch.setattr(module, name, call)
    return calls


def expected(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the parts of all documents, put together from the start."""
    together: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
    for document in documents:
        for part in PARTS:
            together[part].update(document["specs"].get(part, {}))
    return together


async def test_the_payload_is_always_what_all_documents_hold_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.edge.text_blocks.BLOCK_MEMBERS", 4)
    monkeypatch.setattr(specs, "NEXT_PAYLOAD_SECONDS", 0.0)
    dice, held = random.Random(7), dict[str, bytes]()
    rules = RegionRules("dev")
    feed = SpecFeed(rules)
    for step in range(1, 300):
        for _ in range(dice.choice((1, 1, 1, 40))):
            name = f"gate{dice.randrange(60)}"
            shared = {f"c{dice.randrange(8)}": {"type": "public"} for _ in range(3)}
            lists = {name: ["ada"]} if dice.random() < 0.2 else {}
            mapped = {name: [{"new_config_name": "é\n", "rules": []}]} if dice.random() < 0.5 else {}
            if dice.random() < 0.4:
                held.pop(name, None)
            else:
                held[name] = gate_document(
                    name, step, condition_map=shared, overrides=mapped, member_lists=lists
                )
        rules.replace(held.values(), Position("created", step, step), 1)

        payload = latest(feed)
        served, documents = json.loads(payload.specs.text), list(map(json.loads, held.values()))
        together = expected(documents)
        assert {part: served[part] for part in PARTS} == together
        assert list(served["feature_gates"]) == sorted(together["feature_gates"])
        content = payload.specs.text.partition(b'"feature_gates":')[2][:-1]
        checksum = hashlib.sha256(b'"feature_gates":' + content).hexdigest()[:32]
        assert (served["time"], served["checksum"]) == (step, checksum)
        assert served["id_lists"].keys() == {
            name for document in documents for name in document["specs"]["member_lists"]
        }
        assert gzip.decompress(await payload.specs.compressed()) == payload.specs.text
        for_clients = json.loads(payload.documents.text)
        assert sorted(map(json.dumps, for_clients["documents"])) == sorted(map(json.dumps, documents))
        assert gzip.decompress(await payload.documents.compressed()) == payload.documents.text


def test_a_gate_and_a_config_of_one_name_do_not_receive_each_others_candidate() -> None:
    """Overrides name no kind, so there are none while both are released to a part of the users."""
    gate, config = (FeatureKey(kind, "a") for kind in (FeatureKind.GATE, FeatureKind.DYNAMIC_CONFIG))
    of_gate = gate_document("a", overrides={"a": [{"new_config_name": "a:v2", "rules": []}]})
    of_config = gate_document("a", overrides={"a": [{"new_config_name": "a:v7", "rules": []}]})
    parts = SpecParts()

    parts.update({gate: of_gate, config: of_config})
    both = [block.text for block in parts.blocks["overrides"]]
    parts.update({gate: of_gate})
    alone = [block.text for block in parts.blocks["overrides"]]

    assert both == []
    assert [json.loads(b"{%s}" % text) for text in alone] == [
        {"a": [{"new_config_name": "a:v2", "rules": []}]}
    ]


async def test_the_checksum_is_the_one_that_replicas_of_the_last_version_have() -> None:
    """SDKs that ask old and new replicas in turn would download everything each time."""
    _, feed = a_feed(3)

    assert latest(feed).checksum == "654c5b2fbdfc7df4be442c657a12595c"


async def test_a_change_reads_encodes_and_compresses_its_own_part_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules, feed = a_feed(3_000)
    await latest(feed).specs.compressed()
    read = counted(monkeypatch, spec_parts, "_read")
    deflated = counted(monkeypatch, gzip_stream, "deflate")
    monkeypatch.setattr(specs, "NEXT_PAYLOAD_SECONDS", 0.0)
    feed._next_at = 0.0

    rules.apply(gate_record("gate01000", 2), "created", is_live=True)
    payload = latest(feed)
    packed = await payload.specs.compressed()

    assert read == [gate_document("gate01000", 2)]
    assert sum(map(len, deflated)) < len(payload.specs) / 5
    assert json.loads(gzip.decompress(packed))["feature_gates"]["gate01000"]["version"] == 2


async def test_all_who_ask_at_the_same_time_compress_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, feed = a_feed(100)
    calls = counted(monkeypatch, specs, "gzip_stream")
    payload = latest(feed)

    asking = [asyncio.create_task(payload.specs.compressed()) for _ in range(1_000)]
    await asyncio.sleep(0)
    asking[0].cancel()
    answers = await asyncio.gather(*asking[1:])
    again = await payload.specs.compressed()

    assert len(calls) == 1
    assert {id(answer) for answer in answers} == {id(again)}


async def test_what_wakes_those_who_wait_is_compressed_already(monkeypatch: pytest.MonkeyPatch) -> None:
    rules, feed = a_feed(100)
    before = latest(feed)
    calls = counted(monkeypatch, specs, "gzip_stream")
    waiting = [
        asyncio.create_task(feed.wait_for_newer(before.time, before.checksum, 15)) for _ in range(1_000)
    ]
    await asyncio.sleep(0)

    rules.apply(gate_record("gate00001", 2), "created", is_live=True)
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    first = done.pop().result()
    is_compressed = first and first.specs._compressed and first.specs._compressed.done()
    received = await asyncio.gather(*waiting)

    assert is_compressed
    assert len(calls) == 1
    assert {payload.checksum for payload in received if payload} == {latest(feed).checksum}


async def test_a_burst_of_changes_makes_few_payloads_and_the_newest_goes_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules, feed = a_feed(100)
    before = latest(feed)
    made = counted(monkeypatch, specs, "SpecPayload")
    seen: list[SpecPayload] = []

    async def follow() -> None:
        known = before
        while known.time < 500:
            newer = await feed.wait_for_newer(known.time, known.checksum, 15)
            assert newer
            seen.append(known := newer)

    loop = asyncio.get_running_loop()
    following, begin = asyncio.create_task(follow()), loop.time()
    for revision in range(2, 501):
        rules.apply(gate_record("gate00001", revision), "created", is_live=True)
        await asyncio.sleep(0)
        latest(feed)
    await following
    most = (loop.time() - begin) / NEXT_PAYLOAD_SECONDS + 2

    assert len(made) <= most
    assert len(seen) <= len(made)
    assert json.loads(seen[-1].specs.text)["feature_gates"]["gate00001"]["version"] == 500


async def test_a_change_after_a_rest_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "NEXT_PAYLOAD_SECONDS", 1_000.0)
    rules, feed = a_feed(10)
    latest(feed)
    feed._next_at = 0.0  # the rest is over

    rules.apply(gate_record("gate00001", 2), "created", is_live=True)
    first = latest(feed)
    rules.apply(gate_record("gate00001", 3), "created", is_live=True)
    second = latest(feed)

    assert (first.time, second.time) == (2, 2)


async def test_the_next_payload_waits_until_the_one_before_is_compressed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(specs, "NEXT_PAYLOAD_SECONDS", 0.0)
    rules, feed = a_feed(10)
    before = latest(feed)
    is_compressed = asyncio.Event()

    async def compressed(text: Any) -> bytes:
        await is_compressed.wait()
        return b""

    monkeypatch.setattr(specs.PayloadText, "compressed", compressed)
    waiting = asyncio.create_task(feed.wait_for_newer(before.time, before.checksum, 15))
    await asyncio.sleep(0)
    times = []
    for revision in range(2, 10):
        rules.apply(gate_record("gate00001", revision), "created", is_live=True)
        await asyncio.sleep(0.001)
        times.append(latest(feed).time)
    is_compressed.set()
    await waiting

    assert set(times) == {2}
    await eventually(lambda: latest(feed).time == 9, "the newest is published")


async def test_those_who_wait_are_woken_some_at_a_time_and_others_run_in_between() -> None:
    waiters, ran = Waiters(), list[str]()

    async def wait() -> None:
        await waiters.wait()
        ran.append("waiter")

    waiting = [asyncio.create_task(wait()) for _ in range(10 * WOKEN_AT_ONCE)]
    await asyncio.sleep(0)
    waiting[3].cancel()
    waiters.wake_all()
    while not all(task.done() for task in waiting):
        await asyncio.sleep(0)
        ran.append("other")

    runs = "".join(name[0] for name in ran).split("o")
    assert max(map(len, runs)) <= WOKEN_AT_ONCE
    assert sum(map(len, runs)) == len(waiting) - 1


async def test_who_begins_to_wait_while_others_are_woken_waits_for_the_next_change() -> None:
    waiters = Waiters()
    waiting = [asyncio.create_task(waiters.wait()) for _ in range(3 * WOKEN_AT_ONCE)]
    await asyncio.sleep(0)
    waiters.wake_all()
    late = asyncio.create_task(waiters.wait())
    await asyncio.gather(*waiting)

    assert not late.done()
    waiters.wake_all()
    await late
    assert len(waiters) == 0


async def test_an_unchanged_payload_is_neither_assembled_nor_compressed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, feed = a_feed(10)
    first = latest(feed)
    monkeypatch.setattr(specs, "NEXT_PAYLOAD_SECONDS", 0.0)
    feed._next_at = 0.0
    made, packed = counted(monkeypatch, specs, "SpecPayload"), counted(monkeypatch, specs, "gzip_stream")

    waiting = [feed.wait_for_newer(first.time, first.checksum, 0.01) for _ in range(100)]
    newer = await asyncio.gather(*waiting)

    assert newer == [None] * 100
    assert (made, packed) == ([], [])
