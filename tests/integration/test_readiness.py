"""Ready means able: connected, current, and with space to write. What is missing is named."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from services.console.app import Console
from services.console.settings import Settings as ConsoleSettings
from services.evaluator_publisher.app import EvaluatorPublisher
from services.local.broker import EmbeddedBroker
from services.monitor.app import Monitor
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings
from sluiceway.contracts import subjects
from sluiceway.contracts.commands import SaveEnvironment
from sluiceway.contracts.replies import RefusalCode
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import until_given_up
from sluiceway.messaging.measurement_store import MeasurementStore
from sluiceway.messaging.stream_follower import Follower
from sluiceway.service import Service
from sluiceway.settings import ServiceSettings
from tests.support.brokers import Broker
from tests.support.processes import ServiceProcess, service_process
from tests.support.stores import (
    FILLER,
    declare_small,
    fill_disk,
    fill_store,
    free_disk,
    small_disk,
    small_store,
)
from tests.support.system import Driver, driving
from tests.support.waiting import eventually

EXITS_WITHIN_SECONDS = 10.0


@asynccontextmanager
async def all_services(url: str, folder: Path) -> AsyncIterator[tuple[Service, ...]]:
    """Run one of each service that needs a broker to be ready."""
    running: tuple[Service, ...] = (
        Scheduler(Settings(nats_url=url)),
        EvaluatorPublisher(ServiceSettings(nats_url=url)),
        Monitor(MonitorSettings(nats_url=url)),
        Console(ConsoleSettings(nats_url=url, bootstrap_key_file=folder / "key")),
    )
    async with AsyncExitStack() as stack:
        for service in running:
            await stack.enter_async_context(service)
        yield running


async def ready(*services: Service) -> bool:
    return not any([await service.readiness() for service in services])


async def missing_everywhere(services: tuple[Service, ...], name: str) -> list[str] | None:
    """Return what each service says about one thing that is missing; None unless all do."""
    found = [(await service.readiness()).get(name) for service in services]
    return [text for text in found if text] if all(found) else None


async def is_saved(driver: Driver, environment: str) -> bool:
    try:
        reply = await driver.send(SaveEnvironment, environment={"name": environment})
    except Unavailable:
        return False
    return reply.refusal is None


async def test_each_service_names_what_is_missing_while_the_broker_is_away(
    broker: Broker, tmp_path: Path
) -> None:
    async with all_services(broker.url, tmp_path) as services:
        await eventually(lambda: ready(*services), "all are ready")
        scheduler, publisher, monitor, console = services

        broker.kill()

        expected = {
            scheduler: {"nats", "commands", "log", "catalogue"},
            publisher: {"nats", "log", "catalogue", "rules"},
            monitor: {"nats", "alerts", "clearance", "log", "catalogue", "measurements"},
            console: {"nats", "log", "catalogue", "regions", "ended sessions"},
        }
        for service, names in expected.items():
            assert set(await service.readiness()) == names
        broker.start()
        await eventually(lambda: ready(*services), "all are ready again")


async def test_a_connection_of_faststream_alone_makes_a_service_unready(broker: Broker) -> None:
    async with AsyncExitStack() as stack, Scheduler(Settings(nats_url=broker.url)) as scheduler:
        await scheduler.watch_client("another", Client(), stack)

        assert await scheduler.readiness() == {"another": "the broker does not answer"}


async def test_a_follower_of_a_stream_that_is_gone_is_not_current(broker: Broker) -> None:
    async with driving(broker.url) as driver:
        js = driver.connection.js
        await js.add_stream(name="LETTERS", subjects=["letters.*"])
        async with Follower(driver.connection, "LETTERS", ["letters.*"], lambda record: None) as follower:
            await eventually(lambda: follower.is_current, "it is current")
            await js.delete_stream("LETTERS")

            await eventually(lambda: not follower.is_current, "it is not current any more")
            await js.add_stream(name="LETTERS", subjects=["letters.*"])
            await eventually(lambda: follower.is_current, "it is current again")


async def test_a_full_store_is_named_and_all_go_on_when_there_is_space(tmp_path: Path) -> None:
    with small_store(tmp_path / "broker", "24MB") as broker:
        async with driving(broker.url) as driver:
            js = driver.connection.js
            await declare_small(js)
            async with all_services(broker.url, tmp_path) as services:
                await eventually(lambda: ready(*services), "all are ready")

                await fill_store(js)
                named = await eventually(lambda: missing_everywhere(services, "store"), "all name the store")
                refusal = await driver.refused(SaveEnvironment, environment={"name": "full"})
                await js.purge_stream(FILLER)

                await eventually(lambda: ready(*services), "all are ready again")
                await driver.accepted(SaveEnvironment, environment={"name": "full"})

    assert all(text.startswith("the store is full: the broker has no space left") for text in named)
    assert refusal.code is RefusalCode.UNAVAILABLE
    assert refusal.message.startswith("the store is full")


async def test_after_a_full_disk_services_that_wrote_nothing_need_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "broker"
    with small_disk(data_dir, "24m") as broker:
        async with driving(broker.url) as driver:
            await declare_small(driver.connection.js)
            async with all_services(broker.url, tmp_path) as services:
                await eventually(lambda: ready(*services), "all are ready")
                fill_disk(data_dir)
                await eventually(lambda: missing_everywhere(services, "store"), "all name the store")
                free_disk(data_dir)

                await eventually(lambda: ready(*services), "all are ready again")
                assert await is_saved(driver, "later")


@pytest.mark.parametrize("saved_before", [True, False])
async def test_after_a_full_disk_that_stopped_a_stream_the_restart_of_the_broker_suffices(
    tmp_path: Path, saved_before: bool
) -> None:
    data_dir = tmp_path / "broker"
    with small_disk(data_dir, "24m") as broker:
        async with driving(broker.url) as driver, Scheduler(Settings(nats_url=broker.url)) as scheduler:
            if saved_before:
                await driver.accepted(SaveEnvironment, environment={"name": "before"})
            fill_disk(data_dir)
            refusal = await eventually(lambda: _refused_when_full(driver), "the store is full")
            free_disk(data_dir)
            still = await eventually(
                lambda: _missing(scheduler, "store"), "nats-server writes to CATALOG no longer"
            )
            broker.kill()
            broker.start()

            await eventually(lambda: ready(scheduler), "the scheduler is ready again")
            assert await eventually(lambda: is_saved(driver, "later"), "commands are stored again")

    assert "the store is full" in refusal
    assert "nothing in the stream KV_CATALOG" in refusal
    assert "restart nats-server" in still


async def _refused_when_full(driver: Driver) -> str | None:
    """Write to the catalogue until the disk has no room for it; small writes fit into the last block."""
    text = "x" * 50
    for number in range(20):
        name = f"{text}{number}"
        try:
            reply = await driver.send(SaveEnvironment, environment={"name": name})
        except Unavailable:
            continue
        if reply.refusal:
            return reply.refusal.message
    return None


async def _missing(service: Service, name: str) -> str | None:
    return (await service.readiness()).get(name)


async def test_a_process_whose_connection_is_given_up_exits_with_the_reason(tmp_path: Path) -> None:
    """FastStream gives a connection up; nats-py alone goes on."""
    module = "services.monitor"
    with _broker_with_password(tmp_path) as broker:
        url = broker.url.replace("nats://", "nats://a:right@")
        async with service_process(tmp_path, "services.scheduler", url) as scheduler:
            await eventually(scheduler.is_ready, "the scheduler is ready")
            folder = tmp_path / "second"
            folder.mkdir()
            async with service_process(folder, module, url) as process:
                await eventually(process.is_ready, "the process is ready")

                _set_password(tmp_path, broker, "wrong")
                async with asyncio.timeout(EXITS_WITHIN_SECONDS):
                    code = await process.process.wait()
                log = process.log.read_text()
            async with service_process(folder, module, url) as process:
                await eventually(lambda: _is_refused(process), "it says why it waits")
                _set_password(tmp_path, broker, "right")
                async with service_process(tmp_path, "services.scheduler", url):
                    await eventually(process.is_ready, "it is ready again")

    assert code == 70
    assert "given up for good" in log
    assert "Authorization Violation" in log


async def test_a_scheduler_takes_commands_again_once_its_password_is_right(tmp_path: Path) -> None:
    with _broker_with_password(tmp_path) as broker:
        url = broker.url.replace("nats://", "nats://a:right@")
        async with service_process(tmp_path, "services.scheduler", url) as scheduler:
            await eventually(scheduler.is_ready, "the scheduler is ready")

            _set_password(tmp_path, broker, "wrong")
            await eventually(scheduler.missing, "it is not ready")
            _set_password(tmp_path, broker, "right")

            await eventually(scheduler.is_ready, "it is ready again")
            async with driving(url) as driver:
                await driver.save_gate("checkout")


async def _is_refused(process: ServiceProcess) -> bool:
    missing = await process.missing() or {}
    return "Authorization Violation" in missing.get("nats", "")


async def test_a_monitor_whose_consumer_of_alerts_was_deleted_is_started_again_and_gets_alerts(
    broker: Broker, tmp_path: Path
) -> None:
    async with Scheduler(Settings(nats_url=broker.url)), driving(broker.url) as driver:
        js, answers = driver.connection.js, MeasurementStore(driver.connection, "/tests")
        async with service_process(tmp_path, "services.monitor", broker.url) as monitor:
            await eventually(monitor.is_ready, "the monitor is ready")
            await js.delete_consumer(subjects.ALERTS_STREAM, subjects.MONITOR_DURABLE)
            async with asyncio.timeout(EXITS_WITHIN_SECONDS):
                code = await monitor.process.wait()
            log = monitor.log.read_text()
        await driver.alert("Boom", gate="checkout")
        async with service_process(tmp_path, "services.monitor", broker.url):
            await eventually(answers.answered_alerts, "the alert is answered")

    assert code == 70
    assert "the consumer monitor of the stream ALERTS was deleted" in log


async def test_a_message_that_is_too_large_ends_the_connection_and_is_noticed(broker: Broker) -> None:
    client = await nats.connect(broker.url, error_cb=ignore)
    await client.publish("a", b"x" * 2**20, headers={"a": "b" * 100})

    async with asyncio.timeout(EXITS_WITHIN_SECONDS):
        assert "maximum payload violation" in await until_given_up(client)


async def ignore(_: Exception) -> None:
    """Let a test look at the last error itself."""


def _broker_with_password(folder: Path) -> EmbeddedBroker:
    data_dir = folder / "broker"
    data_dir.mkdir()
    (data_dir / "broker.conf").write_text(_config(data_dir, "right"))
    return EmbeddedBroker(data_dir, config=data_dir / "broker.conf")


def _set_password(folder: Path, broker: EmbeddedBroker, password: str) -> None:
    """Change the password while the broker runs; it closes every connection."""
    (folder / "broker" / "broker.conf").write_text(_config(folder / "broker", password))
    assert broker.pid
    os.kill(broker.pid, signal.SIGHUP)


def _config(data_dir: Path, password: str) -> str:
    return (
        f'jetstream {{store_dir: "{data_dir / "jetstream"}"}}\n'
        f"authorization {{user: a, password: {password}}}\n"
    )
