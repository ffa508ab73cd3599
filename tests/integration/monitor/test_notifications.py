"""Notifications to receivers: delivered, retried, given up, and never in the way of a release."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.monitor.notifications import RetryPolicy, notifications
from services.monitor.receivers import Receiver
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.commands import AbortTrigger
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.http.server import health_server
from sluiceway.messaging.dead_letters import DeadLetters
from sluiceway.messaging.feature_log import FeatureLog
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.settings import ServiceSettings
from tests.support.brokers import Broker
from tests.support.catalogues import PIPELINE, apply_catalogue, phase
from tests.support.system import EVERYONE, Driver, driving, services
from tests.support.waiting import eventually

QUICK = RetryPolicy(first_seconds=0.05, longest_seconds=0.1, attempts=3)
LONG_MS = 3_600_000


class Hook:
    """A webhook that answers with these statuses in turn, then with 204; 0: no answer."""

    def __init__(self, statuses: Iterable[int] = ()) -> None:
        self._statuses = list(statuses)
        self.received: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.url = ""
        self.closing = asyncio.Event()

    async def answer(self, request: Request) -> Response:
        self.received.append((json.loads(await request.body()), dict(request.headers)))
        status = self._statuses.pop(0) if self._statuses else 204
        if status == 0:
            await self.closing.wait()
        return Response(status_code=status)

    @property
    def types(self) -> list[str]:
        return [event["type"].removeprefix("sluiceway.") for event, _ in self.received]


@asynccontextmanager
async def listening(*statuses: int) -> AsyncIterator[Hook]:
    async def ready() -> dict[str, str]:
        return {}

    hook = Hook(statuses)
    app = Starlette(routes=[Route("/hook", hook.answer, methods=["POST"])])
    async with health_server(ServiceSettings(), ready, app) as url:
        hook.url = f"{url}/hook"
        yield hook
        hook.closing.set()


class NotifyingSystem(NamedTuple):
    """A system, and its notifications to receivers."""

    driver: Driver

    @asynccontextmanager
    async def notifying(self, *hooks: Hook, **fields: Any) -> AsyncIterator[None]:
        receivers = [
            Receiver.model_validate({"name": f"hook{n}", "url": hook.url, **fields})
            for n, hook in enumerate(hooks)
        ]
        connection = self.driver.connection
        view = FeatureView(connection, FeatureLog(connection, "/tests"))
        async with (
            view,
            notifications(connection, view, receivers, DeadLetters(connection, "monitor"), QUICK),
        ):
            for receiver in receivers:
                await eventually(partial(self._follows, f"notify-{receiver.name}"), "it follows the log")
            yield

    async def _follows(self, durable: str) -> bool:
        js = self.driver.connection.js
        for stream in (subjects.FEATURES_STREAM, subjects.VERDICTS_STREAM):
            names = [consumer.name for consumer in await js.consumers_info(stream)]
            if durable not in names:
                return False
        return True

    async def release(self, name: str = "checkout") -> str:
        await self.driver.save_gate(name)
        reply = await self.driver.save_gate(name, EVERYONE, releasePipelineID=PIPELINE)
        assert reply.feature
        assert reply.feature.trigger
        return reply.feature.trigger.id

    async def letters(self) -> list[str]:
        """Return why messages were rejected."""
        js = self.driver.connection.js
        count = (await js.stream_info(subjects.DEAD_LETTERS_STREAM)).state.messages
        found = [await js.get_msg(subjects.DEAD_LETTERS_STREAM, n + 1) for n in range(count)]
        return [(message.headers or {})[envelope.DEAD_REASON] for message in found]


@pytest.fixture
async def system(broker: Broker) -> AsyncIterator[NotifyingSystem]:
    async with services(broker.url), driving(broker.url) as driver:
        await apply_catalogue(driver, phase("dev", bake_ms=LONG_MS))
        yield NotifyingSystem(driver)


async def test_a_receiver_gets_a_signed_notification_once(system: NotifyingSystem) -> None:
    async with listening() as hook, system.notifying(hook, secret="s3cret"):
        trigger = await system.release()
        await system.driver.act(AbortTrigger, trigger, reason="no")

        await eventually(lambda: hook.types == ["trigger_started", "trigger_aborted"], "both are delivered")
        event, headers = hook.received[-1]
        assert event["data"]["reason"] == "no"
        assert headers["webhook-signature"].startswith("v1,")
        assert headers["webhook-id"] == event["id"]


async def test_a_receiver_that_fails_for_a_while_gets_it_later(system: NotifyingSystem) -> None:
    async with listening(503, 429) as hook, system.notifying(hook, events=["trigger_started"]):
        await system.release()

        await eventually(lambda: len(hook.received) == 3, "it was tried until it was accepted")
        assert len({event["id"] for event, _ in hook.received}) == 1
        assert await system.letters() == []


@pytest.mark.parametrize(
    ("statuses", "attempts", "why"),
    [((410,), 1, "answered 410"), ((302,), 1, "answered 302"), ((500,) * 9, 3, "answered 500, after 3")],
)
async def test_what_a_receiver_does_not_accept_goes_to_the_dead_letters(
    system: NotifyingSystem, statuses: tuple[int, ...], attempts: int, why: str
) -> None:
    async with listening(*statuses) as hook, system.notifying(hook, events=["trigger_started"]):
        await system.release()

        (reason,) = await eventually(system.letters, "it is given up")
        assert reason.startswith("receiver hook0: ")
        assert why in reason
        assert len(hook.received) == attempts


async def test_a_receiver_that_never_answers_delays_neither_another_one_nor_a_roll_back(
    system: NotifyingSystem,
) -> None:
    async with listening(*(0,) * 99) as dead, listening() as other, system.notifying(dead, other):
        trigger = await system.release()
        await eventually(lambda: dead.received, "the dead one got a request")

        await system.driver.alert("Boom", gate="checkout")

        await system.driver.reaches(trigger, TriggerStatus.ROLLED_BACK)
        await eventually(lambda: other.types[-1:] == ["trigger_rolled_back"], "the other one has it")


async def test_nothing_is_lost_while_no_monitor_runs_and_while_the_broker_is_away(
    system: NotifyingSystem, broker: Broker
) -> None:
    async with listening() as hook:
        async with system.notifying(hook, events=["trigger_started"]):
            pass
        await system.release("first")
        async with system.notifying(hook, events=["trigger_started"]):
            await eventually(lambda: len(hook.received) == 1, "the event of the time between is delivered")
            broker.kill()
            broker.start()
            await eventually(lambda: system.driver.connection.is_alive(), "the broker is back")
            await system.release("second")

            await eventually(lambda: len(hook.received) >= 2, "it goes on")
        assert {event["subject"] for event, _ in hook.received} == {"gate.first.1", "gate.second.1"}
