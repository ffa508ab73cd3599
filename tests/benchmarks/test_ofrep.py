"""OFREP, one flag per request: an edge, against the same framework that answers a constant.

Every server runs on one core, the load on another; they take turns, so each has the core for itself.
"""

import asyncio
import contextlib
import gc
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.support.brokers import Broker
from tests.support.catalogues import apply_catalogue
from tests.support.edges import create_key
from tests.support.system import EVERYONE, driving, following
from tests.support.waiting import eventually

from .load import HEAD_END, OK, Load, ask, on_core, put_load
from .processes import ROOT, started
from .report import Section, record

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

REGION = "dev"
USERS = 100
ROUNDS = 20
#: Each server, with each number of connections, in each round.
TURN_SECONDS = 0.5
CONNECTIONS = (1, 32)
EDGE = "edge"
#: The loops that the constant is served with.
LOOPS = ("asyncio", "uvloop")
PAID = {"type": "custom_field", "field": "plan", "operator": "any", "targetValue": ["pro"]}
RULES = {
    "everyone": EVERYONE,
    "paid": {"name": "paid", "conditions": [PAID]},
    "half": {"name": "half", "passPercentage": 50, "conditions": [{"type": "public"}]},
}


async def test_single_evaluations(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = sorted(getattr(os, "sched_getaffinity", lambda _: ())(0))
    if len(cores) < 2:
        pytest.skip("needs two cores and Linux: one for the server, one for its load")
    monkeypatch.setenv("SLUICEWAY_REGION", REGION)
    monkeypatch.setenv("SLUICEWAY_SNAPSHOT_DIR", str(tmp_path / "edges"))
    requests = _requests(await _publish(broker, tmp_path))

    with on_core(cores[0]):
        async with started(broker.url, tmp_path, EDGE):
            edge = (tmp_path / f"{EDGE}.url").read_text()
            answer = await _served(edge, requests)
            async with _constants(tmp_path, answer) as constants:
                with on_core(cores[1]):
                    figures = _measured({EDGE: edge, **constants}, requests)

    _show(figures, len(answer))
    _record(figures)


async def _publish(broker: Broker, logs: Path) -> str:
    """Release a flag of each sort; return a key for the region. No service runs when this is done."""
    async with started(broker.url, logs, "scheduler", "evaluator_publisher"), driving(broker.url) as driver:
        await apply_catalogue(driver)
        for name, rule in RULES.items():
            await driver.save_gate(name, rule)
        key = await create_key(driver, region=REGION)
        async with following(broker.url, REGION) as follower:
            await eventually(lambda: len(follower.rules) == len(RULES), "the rules are published")
        return key


def _requests(key: str) -> Sequence[bytes]:
    return [_request(flag, user, key) for user in range(USERS) for flag in RULES]


def _request(flag: str, user: int, key: str) -> bytes:
    context = {"targetingKey": f"user-{user}", "plan": ("free", "pro")[user % 2], "country": "NZ"}
    body = json.dumps({"context": context}).encode()
    head = (
        f"POST /ofrep/v1/evaluate/flags/{flag} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _served(edge: str, requests: Sequence[bytes]) -> str:
    """Return the first answer, once the edge evaluates all flags."""
    flags = requests[: len(RULES)]
    await eventually(lambda: all(ask(edge, flag).startswith(OK) for flag in flags), "the edge has all flags")
    answers = [ask(edge, request).partition(HEAD_END)[2] for request in requests]
    values = [json.loads(answer)["value"] for answer in answers]
    everyone, paid, half = (sum(values[n :: len(RULES)]) for n in range(len(RULES)))
    assert (everyone, paid) == (USERS, USERS / 2)
    assert 0 < half < USERS
    return answers[0].decode()


@asynccontextmanager
async def _constants(logs: Path, answer: str) -> AsyncIterator[Mapping[str, str]]:
    """Serve the constant, on each loop in a process of its own; gives the URLs."""
    files = {f"constant, {loop}": logs / f"constant-{loop}.url" for loop in LOOPS}
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.constant", loop, str(file), answer), cwd=ROOT
        )
        for loop, file in zip(LOOPS, files.values(), strict=True)
    ]
    try:
        await eventually(lambda: all(file.exists() for file in files.values()), "the constants are served")
        yield {name: file.read_text() for name, file in files.items()}
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def _measured(urls: Mapping[str, str], requests: Sequence[bytes]) -> dict[tuple[int, str], Load]:
    """Return the figures for each number of connections and server; a first round does not count."""
    turns = [(connections, name) for connections in CONNECTIONS for name in urls]
    figures = {turn: Load() for turn in turns}
    gc.collect()
    gc.freeze()
    for connections, name in turns:
        put_load(Load(), urls[name], requests, connections, TURN_SECONDS)
    for _ in range(ROUNDS):
        random.shuffle(turns)
        for connections, name in turns:
            put_load(figures[connections, name], urls[name], requests, connections, TURN_SECONDS)
    gc.unfreeze()
    return figures


def _show(figures: Mapping[tuple[int, str], Load], answer_bytes: int) -> None:
    title = f"OFREP, one flag per request, one core; answers of about {answer_bytes} bytes"
    table = Table(title=title, title_justify="left")
    for column in ("connections", "server"):
        table.add_column(column)
    for column in ("requests", "per second", "p50 (ms)", "p99 (ms)", "load's core busy", "edge / this"):
        table.add_column(column, justify="right")
    for (connections, name), load in figures.items():
        table.add_row(
            str(connections),
            name,
            f"{len(load.latencies.milliseconds):,}",
            f"{load.per_second:,.0f}",
            *(f"{load.latencies.quantile(share):.2f}" for share in (0.5, 0.99)),
            f"{load.busy_seconds / load.seconds:.0%}",
            f"{figures[connections, EDGE].per_second / load.per_second:.2f}",
            end_section=name != EDGE and name.endswith(LOOPS[-1]),
        )
    Console(width=130).print("\n", table)


def _record(figures: Mapping[tuple[int, str], Load]) -> None:
    for connections in CONNECTIONS:
        ours, constant = figures[connections, EDGE], figures[connections, f"constant, {LOOPS[0]}"]
        row = f"OFREP, one flag per request, connections: {connections}"
        share = ours.per_second / constant.per_second
        p50, p99 = (f"{ours.latencies.quantile(quantile):.2g}" for quantile in (0.5, 0.99))
        record(
            Section.EDGE,
            row,
            {
                "p50 / p99": f"{p50} / {p99} ms",
                "per second": f"{ours.per_second:,.0f}",
                "of a constant": f"{share:.2f}",
            },
        )
