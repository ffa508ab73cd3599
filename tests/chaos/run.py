"""One run, from the first broker to the history of everything."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sluiceway.contracts import subjects
from sluiceway.errors import Unavailable
from sluiceway.messaging.feature_log import parse_event
from sluiceway.messaging.history import read_records
from tests.support import catalogues
from tests.support.edges import create_key
from tests.support.system import Driver, driving
from tests.support.waiting import eventually

from .cluster import BREAKS, ERRORS, REGIONS, Cluster, running_cluster
from .delays import watch_loop
from .faults import Faults
from .history import (
    FinalRules,
    History,
    KnownRegion,
    LogLine,
    LoopDelay,
    ProcessEnd,
    ReadinessAnswer,
    SeenEvent,
    StoredEvent,
)
from .hosts import Network
from .load import Load, save_catalogue
from .region_laws import convergence
from .report import print_progress
from .samples import EdgeSamples, record_readiness
from .sender import Sender

log = logging.getLogger(__name__)

#: For the log to be readable, and for all edges to hold what it says, after everything was healed.
CONVERGENCE_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.5
READ_EVERY_SECONDS = 1.0
#: The small disk of a broker; the log grows by less than that.
DISK_MEBIBYTES = 128
MEBIBYTES_PER_SECOND = 0.1


class Options(NamedTuple):
    """What to run: how long, how much, and with which dice."""

    seconds: float
    seed: int
    people: int
    kinds: tuple[str, ...]


async def run(folder: Path, network: Network, options: Options) -> History:
    """Return what happened: everything is started, loaded, disturbed, healed and stopped."""
    ends: list[ProcessEnd] = []
    history = await _run(folder, network, options, ends)
    return history.with_ends(ends)  # those at the end of the run, too


async def _run(folder: Path, network: Network, options: Options, ends: list[ProcessEnd]) -> History:
    async with AsyncExitStack() as stack:
        disk_mebibytes = DISK_MEBIBYTES + int(options.seconds * MEBIBYTES_PER_SECOND)
        cluster = await stack.enter_async_context(running_cluster(folder, network, disk_mebibytes, ends))
        driver = await stack.enter_async_context(driving(cluster.nats_url))
        await save_catalogue(driver)
        samples = await _start_edges(cluster, driver)
        print("everything is ready", flush=True)
        dice = random.Random(options.seed)
        sender = Sender(driver)
        load = Load(sender)
        faults = Faults(cluster, random.Random(dice.random()), options.kinds)
        readiness: list[ReadinessAnswer] = []
        asking = [record_readiness(process, cluster.http, readiness) for process in cluster.asking()]
        sampling = [sample.run(cluster.http) for sample in samples]
        seen: list[SeenEvent] = []
        delays: list[LoopDelay] = []
        watching = (print_progress(sender, faults, folder), _watch_log(driver, seen), watch_loop(delays))
        aborts: list[LogLine] = []
        try:
            async with _beside(*watching, *asking, *sampling):
                await asyncio.gather(
                    load.run(options.people, options.seconds, dice), faults.run(options.seconds)
                )
        except Exception as error:  # what was recorded until then counts
            log.exception("the run ends early")
            aborts.append(LogLine(process="chaos", line=repr(error)))
        history = History(
            regions=tuple(
                KnownRegion(region=catalogues.region(name), edges=tuple(edge.name for edge in edges))
                for name, edges in cluster.edges.items()
            ),
            commands=tuple(sender.commands),
            alerts=tuple(sender.alerts),
            events=await _read_log(driver),
            seen=tuple(seen),
            served=tuple(record for sample in samples for record in sample.served()),
            readiness=tuple(readiness),
            faults=tuple(faults.faults),
            unserved=tuple(error for sample in samples for error in sample.unserved),
            breaks=tuple(cluster.logged(BREAKS)),
            errors=tuple(cluster.logged(ERRORS)),
            stuck=tuple(sender.stuck),
            delays=tuple(delays),
            aborts=tuple(aborts),
        )
        return await _converged(history, cluster, samples)


async def _start_edges(cluster: Cluster, driver: Driver) -> list[EdgeSamples]:
    """Start the edges; return who asks them, with a key of their region."""
    keys = {region: await create_key(driver, region=region) for region in REGIONS}
    await cluster.start_edges()
    return [
        EdgeSamples(edge, region, keys[region]) for region, edges in cluster.edges.items() for edge in edges
    ]


async def _watch_log(driver: Driver, into: list[SeenEvent]) -> None:
    """Read what is new in FEATURES, until cancelled."""
    while True:
        after = into[-1].sequence if into else 0
        try:
            async for record in read_records(
                driver.connection.js, subjects.FEATURES_STREAM, subjects.FEATURES, after=after
            ):
                event = parse_event(record.data)
                into.append(
                    SeenEvent(sequence=record.sequence, command_id=event.command_id, time_ms=event.time_ms)
                )
        except Unavailable:
            pass  # a fault; the next reading goes on after the last message
        await asyncio.sleep(READ_EVERY_SECONDS)


async def _read_log(driver: Driver) -> tuple[StoredEvent, ...]:
    """Return all events of FEATURES, to the end that the leader of the stream knows."""

    async def look() -> tuple[StoredEvent, ...] | None:
        try:
            info = await driver.connection.js.stream_info(subjects.FEATURES_STREAM)
            found = [
                StoredEvent(
                    sequence=record.sequence, stored_ms=record.time_ms, event=parse_event(record.data)
                )
                async for record in read_records(
                    driver.connection.js, subjects.FEATURES_STREAM, subjects.FEATURES
                )
            ]
        except (Unavailable, TimeoutError):
            return None
        return tuple(found) if found and found[-1].sequence >= info.state.last_seq else None

    return await eventually(look, "the log can be read to its end", CONVERGENCE_SECONDS)


async def _converged(history: History, cluster: Cluster, samples: list[EdgeSamples]) -> History:
    """Wait until all edges hold what the log says; return the history with what they held at last."""
    end = time.monotonic() + CONVERGENCE_SECONDS
    while True:
        held = await asyncio.gather(*(sample.final(cluster.http) for sample in samples))
        found: tuple[FinalRules, ...] = tuple(rules for edge in held for rules in edge)
        ended = history.with_final(found)
        if time.monotonic() > end or not any(convergence(ended)):
            return ended
        await asyncio.sleep(LOOK_EVERY_SECONDS)


@asynccontextmanager
async def _beside(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines while the block runs; if one fails, so does the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
