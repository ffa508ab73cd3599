"""Checks in this process, against other libraries from PyPI: the same features, users and answers."""

import gc
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from itertools import product
from statistics import median
from typing import NamedTuple

import pytest
from rich.console import Console
from rich.table import Table

from sluiceway.client.region_rules import RegionRules
from sluiceway.evaluation.results import Config
from sluiceway.messaging.stream_records import Record
from tests.benchmarks.peers.peer import MODULES, OURS, Peer, prepare
from tests.benchmarks.peers.people import PEOPLE, STRANGER, VALUES, Workload
from tests.benchmarks.peers.sluiceway import record, take
from tests.benchmarks.peers.specs import others

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

ROUNDS = 30
#: One batch takes about this long.
BATCH_SECONDS = 0.005
LOADED = 10_000
LOADS = 3
UPDATES = 500


class Form(StrEnum):
    """How the user of a check comes about."""

    #: built once, before
    PREBUILT = "prebuilt"
    #: built for each check
    BUILT = "built"


class Cell(NamedTuple):
    """One library, one workload, one form."""

    library: str
    workload: Workload
    form: Form


#: Checks everyone of `PEOPLE` but the stranger, so many times.
Batch = Callable[[int], None]
COLUMNS = list(product(Workload, Form))


def test_checks() -> None:
    with ExitStack() as stack:
        libraries = {name: stack.enter_context(peer) for name in MODULES if (peer := prepare(name))}
        for name, library in libraries.items():
            _assert_answers(name, library)
        batches = {
            Cell(name, workload, form): _batch(library, workload, form)
            for name, library in libraries.items()
            for workload, form in COLUMNS
        }

        with _no_old_garbage():
            figures = _measured(batches)

    _show(figures)


def test_load_and_update() -> None:
    documents = [record(document) for document in others(LOADED)]
    loads = {collects: _load_seconds(documents, collects=collects) for collects in (True, False)}
    print(
        f"\n{LOADED:,} features parsed and compiled: {loads[True] * 1_000:.0f} ms, "
        f"{loads[False] * 1_000:.0f} ms while the garbage collector is off"
    )
    for size in (10, LOADED):
        print(f"One update among {size:,} features: {_update_seconds(documents[:size]) * 1e6:.1f} µs")


def _load_seconds(records: list[Record], *, collects: bool) -> float:
    """Return how long a new process takes for records in memory; the fastest of a few."""
    with _no_old_garbage():
        if not collects:
            gc.disable()
        seconds = min(_seconds(lambda: take(RegionRules("r"), records)) for _ in range(LOADS))
        gc.enable()
    return seconds


def _update_seconds(records: list[Record]) -> float:
    """Return how long a new version of one feature takes, where these are loaded; the median."""
    rules = RegionRules("r")
    take(rules, records)
    first = next(others(1))
    changes = [record(first.model_copy(update={"revision": 2 + n})) for n in range(UPDATES)]

    with _no_old_garbage():
        return median(_seconds(partial(take, rules, [change])) for change in changes)


def _assert_answers(name: str, library: Peer) -> None:
    """Assert that a library gives the answers that the others give."""
    users = [library.user(index) for index in range(STRANGER)]
    stranger = library.user(STRANGER)
    dealt = [library.gate(user, Workload.ROLLOUT) for user in users]

    assert all(library.gate(user, Workload.ON) is True for user in users), name
    assert all(library.gate(user, Workload.REGION) is True for user in users), name
    assert library.gate(stranger, Workload.REGION) is False, name
    assert library.gate(stranger, Workload.ROLLOUT) is False, name
    assert 30 <= sum(dealt) <= 70, f"{name} lets {sum(dealt)} of 100 users in"
    configs = [library.config(user, Workload.CONFIG) for user in users]
    assert all((c.value if isinstance(c, Config) else c) == VALUES[-1] for c in configs), name


def _batch(library: Peer, workload: Workload, form: Form) -> Batch:
    check = library.config if workload is Workload.CONFIG else library.gate
    name, build = workload.value, library.user
    indices = range(STRANGER)
    users = [build(index) for index in indices]

    def prebuilt(times: int) -> None:
        for _ in range(times):
            for user in users:
                check(user, name)

    def built(times: int) -> None:
        for _ in range(times):
            for index in indices:
                check(build(index), name)

    return prebuilt if form is Form.PREBUILT else built


def _measured(batches: dict[Cell, Batch]) -> dict[Cell, float]:
    """Return nanoseconds per check: the median of many short rounds, each in another order."""
    times = {cell: _times(batch) for cell, batch in batches.items()}
    samples: dict[Cell, list[float]] = {cell: [] for cell in batches}
    cells = list(batches)
    for _ in range(ROUNDS):
        random.shuffle(cells)
        for cell in cells:
            seconds = _seconds(partial(batches[cell], times[cell]))
            samples[cell].append(seconds / (times[cell] * STRANGER) * 1e9)
    return {cell: median(found) for cell, found in samples.items()}


def _times(batch: Batch) -> int:
    batch(1)
    return max(1, round(BATCH_SECONDS / _seconds(lambda: batch(1))))


def _seconds(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


@contextmanager
def _no_old_garbage() -> Iterator[None]:
    """Keep what is loaded out of the collector's rounds, so that no library pays for another's size."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _show(figures: dict[Cell, float]) -> None:
    table = Table(title=f"One check in this process (ns, {len(PEOPLE) - 1} users)", title_justify="left")
    table.add_column("")
    for workload, form in COLUMNS:
        table.add_column(f"{workload}\n{form}", justify="right")
    for name in MODULES:
        row = [figures[cell] for column in COLUMNS if (cell := Cell(name, *column)) in figures]
        label = f"{name} {version(name)}" if row else f"{name}: not installed"
        table.add_row(label, *(f"{figure:,.0f}" for figure in row))
    table.add_section()
    table.add_row("fastest other / ours", *(_ratio(figures, *column) for column in COLUMNS))
    Console(width=130).print("\n", table)


def _ratio(figures: dict[Cell, float], workload: Workload, form: Form) -> str:
    peers = [figures[cell] for cell in figures if cell[1:] == (workload, form) and cell.library != OURS]
    return f"{min(peers) / figures[Cell(OURS, workload, form)]:.2f}" if peers else "–"
