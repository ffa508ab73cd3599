"""Many threads check while a release moves."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sluiceway.client import Client, Evaluation, User
from sluiceway.contracts.commands import AbortTrigger, SaveFeature
from sluiceway.contracts.feature import TriggerStatus
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.edges import create_key, running_edge
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

ADA = User("ada")
THREADS = 8
#: Looks of a thread before it lets the services of this process have their turn.
LOOKS = 100
BREATH_SECONDS = 0.002
RELEASES = 5
LONG_MS = 3_600_000


@asynccontextmanager
async def checking(look: Callable[[], Any]) -> AsyncIterator[list[Any]]:
    """Let threads look in bursts while the block runs; gives what they see, each once in a row."""
    stop = threading.Event()
    seen: list[Any] = []
    failures: list[BaseException] = []

    def check() -> None:
        last = None
        try:
            while not stop.wait(BREATH_SECONDS):
                for _ in range(LOOKS):
                    answer = look()
                    if answer != last:
                        seen.append(answer)
                    last = answer
        except BaseException as error:  # whatever it is, the test must hear of it
            failures.append(error)

    threads = [threading.Thread(target=check, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
    assert not failures


@asynccontextmanager
async def client_of(driver: Driver, broker: Broker, folder: Path, transport: str) -> AsyncIterator[Client]:
    if transport == "nats":
        async with Client("dev", url=broker.url) as client:
            yield client
        return
    key = await create_key(driver, region="dev")
    async with running_edge(broker.url, "dev", folder, key) as edge:
        await eventually(lambda: len(edge.edge.rules) > 0, "the edge has rules")
        async with Client("dev", transport="edge", url=edge.url, key=key) as client:
            yield client


@pytest.mark.parametrize("transport", ["nats", "edge"])
async def test_an_answer_is_the_base_or_the_candidate_and_never_a_mixture(
    broker: Broker, tmp_path: Path, transport: str
) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS), phase("staging"))
        await driver.save_gate("checkout")
        triggers: list[str] = []
        async with client_of(driver, broker, tmp_path, transport) as client:
            await eventually(lambda: client.evaluate(ADA, "checkout").revision, "the base is there")
            async with checking(lambda: client.evaluate(ADA, "checkout")) as seen:
                await eventually(partial(_has, seen, "default"), "the base is seen")
                for number in range(RELEASES):
                    triggers.append(await release(driver, number))
                    await eventually(partial(_has, seen, f"candidate{number}"), "the candidate is seen")
                    await driver.act(AbortTrigger, triggers[-1])
                    await driver.reaches(triggers[-1], TriggerStatus.ABORTED)
                    await eventually(lambda: not client.check_gate(ADA, "checkout"), "the base is back")

        known = {(False, "default", None)} | {
            (True, f"candidate{number}", trigger) for number, trigger in enumerate(triggers)
        }
        assert {(answer.value, answer.rule_id, answer.trigger) for answer in seen} == known


async def test_the_members_of_a_config_are_of_one_version(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await save_pair(driver, 0)
        async with Client("dev", url=broker.url) as client:
            await eventually(lambda: client.get_config(ADA, "pair").value, "the config is there")
            async with checking(lambda: client.get_config(ADA, "pair").value) as seen:
                for number in range(1, 10):
                    await save_pair(driver, number)
                await eventually(
                    lambda: client.get_config(ADA, "pair").get_int("left") == 9, "the last is applied"
                )

        assert {value["left"] for value in seen} <= set(range(10))
        assert all(value["left"] == value["right"] for value in seen)


async def test_revisions_only_grow_for_each_thread(broker: Broker) -> None:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver)
        await driver.save_gate("checkout")
        async with Client("dev", url=broker.url) as client:
            await eventually(lambda: client.evaluate(ADA, "checkout").revision, "the gate is there")
            newest = threading.local()

            def look() -> Evaluation:
                answer = client.evaluate(ADA, "checkout")
                assert answer.revision >= getattr(newest, "revision", 0)
                newest.revision = answer.revision
                return answer

            async with checking(look) as seen:
                for number in range(10):
                    await driver.save_gate("checkout", {**EVERYONE, "name": f"rule{number}"})
                await eventually(
                    lambda: client.evaluate(ADA, "checkout").rule_id == "rule9", "the last is applied"
                )
                await eventually(partial(_has, seen, "rule9"), "the threads see the last")

        rules = {(True, f"rule{number}") for number in range(10)}
        assert {(answer.value, answer.rule_id) for answer in seen} <= {(False, "default"), *rules}


def _has(seen: list[Evaluation], rule_id: str) -> bool:
    return any(answer.rule_id == rule_id for answer in seen)


async def release(driver: Driver, number: int) -> str:
    """Begin to release the gate to everyone, by a rule of this number; return the trigger."""
    rule = {**EVERYONE, "name": f"candidate{number}"}
    reply = await driver.save_gate("checkout", rule, releasePipelineID=PIPELINE)
    assert reply.feature
    assert reply.feature.trigger
    return reply.feature.trigger.id


async def save_pair(driver: Driver, number: int) -> None:
    value = {"left": number, "right": number}
    document = {"kind": "DynamicConfig", "name": "pair", "defaultValue": value}
    await driver.accepted(SaveFeature, feature=document)
