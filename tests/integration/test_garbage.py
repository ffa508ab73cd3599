"""One garbage message in a stream, whatever it is, keeps no service from starting and from going on."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import REGISTRY

from services.console.app import Console
from services.console.settings import Settings as ConsoleSettings
from services.evaluator_publisher.app import EvaluatorPublisher
from services.monitor.app import Monitor
from services.monitor.settings import Settings as MonitorSettings
from services.scheduler.app import Scheduler
from services.scheduler.settings import Settings as SchedulerSettings
from sluiceway.contracts import envelope, subjects
from sluiceway.contracts.alerts import Alert
from sluiceway.contracts.commands import ApprovePhase
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.messaging.connection import Connection, connected
from sluiceway.messaging.streams import declare, streams
from sluiceway.settings import BrokerSettings, ServiceSettings
from sluiceway.telemetry.metrics import DEAD_LETTERS
from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue, phase
from tests.support.cli.calls import Cli
from tests.support.edges import create_key, running_edge
from tests.support.system import EVERYONE, Driver
from tests.support.waiting import eventually

TRIGGER = "gate.new_checkout.1"
HOUR = 3_600_000
STREAMS = [str(config.name) for config in streams(1)]

BODIES = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"\xff\xfe\x00",
    b'{"kind": "nonsense"}',
    b'{"name": "\\ud800"}',
    b'{"epoch": 1e999, "revision": -1}',
    b"9" * 10_000,
    b"[" * 50_000,
    bytes(900_000),
)
OURS = tuple(
    value.encode() for name, value in vars(envelope).items() if name.isupper() and isinstance(value, str)
)
HEADERS: tuple[Mapping[bytes, bytes], ...] = (
    dict.fromkeys(OURS, b"nonsense"),
    dict.fromkeys(OURS, b"-1"),
    dict.fromkeys(OURS, b"9" * 5_000),
    {b"Status": b"100", b"Description": b"Idle Heartbeat", b"Nats-Last-Consumer": b"x"},
    {b"Status": b"409"},
    {b"Status": b"404"},
    {b"KV-Operation": b"DEL"},
    {b"KV-Operation": b"nonsense"},
    {b"ce-type": b"sluiceway.no_such_event", b"ce-time": b"yesterday", b"ce-id": b""},
    {b"Sluiceway-Epoch": b"-1", b"Sluiceway-Revision": b"9" * 5_000, b"Sluiceway-Region-Revision": b"x"},
    {b"Sluiceway-Created": b"never", b"Sluiceway-Event-Time": b"\xff", b"\xff": b"x"},
)
#: The ends of the subjects: unknown kinds, too many parts, a region that is unknown, and what is not UTF-8.
PLACES = (
    b"gate.new_checkout",
    b"nonsense.x",
    b"a.b.c.d.e.f.g",
    b"nowhere.gate.x",
    b"dev.complete",
    b"dev.gate.new_checkout",
    b"dev.nonsense.x",
    b"region.dev",
    b"key.x",
    b"pipeline.prod-release",
    b"\xff\xfe.\xc3",
)


#: What a service reads all the time, and the service that stores what it rejects there as dead letters.
FOLLOWED: Mapping[str, str | None] = {
    subjects.FEATURES_STREAM: "scheduler",
    subjects.ALERTS_STREAM: "monitor",
    subjects.MEASUREMENTS_STREAM: None,
    subjects.CATALOG_STREAM: None,
    subjects.RULES_STREAM: None,
    subjects.APPLIED_STREAM: None,
}
#: What the command line shows of a stream.
LISTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    subjects.FEATURES_STREAM: (("get", "gates"),),
    subjects.ALERTS_STREAM: (("alert", "list"),),
    subjects.MEASUREMENTS_STREAM: (("get", "triggers", TRIGGER),),
    subjects.VERDICTS_STREAM: (("alert", "list"),),
    subjects.DEAD_LETTERS_STREAM: (("dead-letters",),),
    subjects.CATALOG_STREAM: (("get", "pipelines"), ("key", "list")),
    subjects.RULES_STREAM: (("get", "rules", "--region", "dev"),),
    subjects.APPLIED_STREAM: (("get", "regions"),),
}


class Garbage(NamedTuple):
    """A message that nobody of ours would store."""

    subject: bytes
    data: bytes = b"{"
    headers: Mapping[bytes, bytes] = {}

    def command(self) -> bytes:
        """Return what makes a broker store it; nats-py would refuse to send some of it."""
        head = b"NATS/1.0\r\n" + b"".join(b"%s: %s\r\n" % item for item in self.headers.items()) + b"\r\n"
        sizes = b"%d %d" % (len(head), len(head) + len(self.data))
        return b"HPUB %s %s\r\n%s%s\r\n" % (self.subject, sizes, head, self.data)


def garbage(stream: str) -> Iterator[Garbage]:
    """Give messages for each subject of a stream."""
    (config,) = (config for config in streams(1) if config.name == stream)
    for pattern in config.subjects or ():
        *first, last = pattern.encode().removesuffix(b".*").removesuffix(b".>").split(b".")
        prefix, is_open = b".".join([*first, last]), pattern.endswith(">")
        places = PLACES if is_open else [place.replace(b".", b"-") for place in PLACES]
        if pattern.endswith("*.*"):
            prefix = prefix.removesuffix(b".*")
            places = [
                b"gate.new_checkout_0",
                b"nonsense.x",
                b"gate.\xff\xfe",
                b"gate.a b".replace(b" ", b"$"),
            ]
        for place in places:
            yield Garbage(prefix + b"." + place)
        for blank in (b"\v", b"\f", b"\x1c"):  # the broker takes them, and nats-py's expressions do not
            yield Garbage(prefix + b"." + places[0] + blank + b"x", bytes(300_000))
        contents = [*((body, {}) for body in BODIES), *((data, h) for h in HEADERS for data in (b"{}", b""))]
        for number, (data, headers) in enumerate(contents):
            place = places[number % len(places)]
            yield Garbage(prefix + b"." + place, data, headers)
            yield Garbage(b"%s.%s-%d" % (prefix, places[0], number), data, headers)  # the last of its subject


async def store(url: str, messages: Iterator[Garbage]) -> None:
    host, port = url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()
    writer.write(b'CONNECT {"verbose": false, "headers": true}\r\n')
    for message in messages:
        writer.write(message.command())
    writer.write(b"PING\r\n")
    assert await reader.readline() == b"PONG\r\n"
    writer.close()
    await writer.wait_closed()


def counted(stream: str) -> float:
    """Return how many messages of a stream were left out, by the metrics of this process."""
    service = FOLLOWED.get(stream)
    if service is None:
        return REGISTRY.get_sample_value("sluiceway_invalid_records_total", {"stream": stream}) or 0
    samples = [sample for metric in DEAD_LETTERS.collect() for sample in metric.samples]
    return sum(sample.value for sample in samples if sample.labels.get("service") == service)


@pytest.fixture
async def connection(broker: Broker) -> AsyncIterator[Connection]:
    async with connected(BrokerSettings(nats_url=broker.url), "tests") as connection:
        await declare(connection.js, 1)
        yield connection


@pytest.mark.parametrize("stream", STREAMS)
async def test_garbage_in_a_stream_keeps_nobody_from_starting_and_going_on(
    stream: str, broker: Broker, connection: Connection, tmp_path: Path
) -> None:
    before = counted(stream)
    await store(broker.url, garbage(stream))
    assert (await connection.js.stream_info(stream)).state.messages > 0
    driver = Driver(connection)
    async with AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(service)
            for service in (
                Scheduler(SchedulerSettings(nats_url=broker.url)),
                EvaluatorPublisher(ServiceSettings(nats_url=broker.url)),
                Monitor(MonitorSettings(nats_url=broker.url)),
                Console(ConsoleSettings(nats_url=broker.url, bootstrap_key_file=tmp_path / "console.key")),
            )
        ]
        await apply_catalogue(driver, phase("dev", review=True, bake_ms=HOUR))
        key = await create_key(driver, region="dev")
        await driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
        async with running_edge(broker.url, "dev", tmp_path / "edge", key) as edge:
            await store(broker.url, garbage(stream))  # and while they run
            await driver.act(ApprovePhase, TRIGGER)

            async def has_candidate() -> bool:
                return (await edge.flag("new_checkout")).get("value") is True

            await eventually(has_candidate, "the region has the candidate")
            alert = Alert(name="Errors", labels={"gate": "new_checkout"})
            await connection.js.publish(subjects.alert("pager"), alert.to_json())
            await driver.reaches(TRIGGER, TriggerStatus.ROLLED_BACK)

            async def are_ready() -> bool:
                return not any([await service.readiness() for service in (*services, edge.edge)])

            await eventually(are_ready, "every service is ready")
    if stream in FOLLOWED:
        assert counted(stream) > before
    for call in LISTS.get(stream, ()):
        await Cli(broker.url).succeeds(*call)
