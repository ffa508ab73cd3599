"""Samples, and the table that compares ours with raw nats-py in the same run."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.table import Table

from .report import Section, record
from .usage import Computed

SHARES = (0.5, 0.99)
#: Of the table in the documentation.
COLUMNS = ("ours, p50 / p99", "raw", "ratio of p50", "ratio of p99")


@dataclass
class Samples:
    """Durations in milliseconds."""

    milliseconds: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        ordered = sorted(self.milliseconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Line:
    """One comparison."""

    what: str
    ours: Samples
    raw: Samples


@dataclass
class Rates:
    """How many per second, in each of some rounds, of both sides."""

    what: str
    ours: list[float] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """What part of raw's ours is."""
        return median(self.ours) / median(self.raw)


async def timed(samples: Samples, run: Callable[[], Awaitable[object]]) -> None:
    """Add how long one run took."""
    begin = time.perf_counter()
    await run()
    samples.milliseconds.append((time.perf_counter() - begin) * 1_000)


def record_lines(lines: list[Line]) -> None:
    """Record p50 and p99 of both sides for the documentation, and their ratios."""
    for line in lines:
        pairs = [(line.ours.quantile(share), line.raw.quantile(share)) for share in SHARES]
        ours, raw = (
            " / ".join(f"{figure:.2g}" if figure < 10 else f"{figure:.0f}" for figure in side)
            for side in zip(*pairs, strict=True)
        )
        ratios = (f"{ours_ / raw_:.1f}" for ours_, raw_ in pairs)
        figures = dict(zip(COLUMNS, (ours, raw, *ratios), strict=True))
        record(Section.RAW, line.what, figures)


def record_rates(rates: list[Rates]) -> None:
    """Record the medians of both sides for the documentation, and how many times ours raw is."""
    for rate in rates:
        ours, raw = (f"{median(side):,.0f} / s" for side in (rate.ours, rate.raw))
        record(
            Section.RAW, rate.what, dict(zip(COLUMNS, (ours, raw, f"{1 / rate.share:.1f}", ""), strict=True))
        )


def show(title: str, lines: list[Line]) -> None:
    """Print p50 and p99 of both sides, and their ratios."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("n", "ours p50", "p99 (ms)", "raw p50", "p99 (ms)", "ratio p50", "p99"):
        table.add_column(column, justify="right")
    for line in lines:
        figures = [samples.quantile(share) for samples in (line.ours, line.raw) for share in SHARES]
        table.add_row(
            line.what,
            str(len(line.ours.milliseconds)),
            *(f"{figure:.2f}" for figure in figures),
            f"{figures[0] / figures[2]:.2f}",
            f"{figures[1] / figures[3]:.2f}",
        )
    Console(width=120).print("\n", table)


def show_computed(operation: str, ours: Computed, raw: Computed) -> None:
    """Print how long each process has computed per operation, and all together, on both sides."""
    table = Table(title=operation, title_justify="left")
    for column in ("ms of a core for each", "ours", "raw", "ratio"):
        table.add_column(column, justify="right")
    rows = {name: (ours.milliseconds(name), raw.milliseconds(name)) for name in ours.pids}
    rows["together"] = (sum(row[0] for row in rows.values()), sum(row[1] for row in rows.values()))
    for name, both in rows.items():
        table.add_row(
            name, *(f"{figure:.2f}" for figure in both), f"{both[0] / both[1]:.1f}" if both[1] else ""
        )
    Console(width=120).print("\n", table)


def show_rates(title: str, rates: list[Rates]) -> None:
    """Print the median of each side, and what part of raw's ours is."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("rounds", "ours", "raw", "ours / raw"):
        table.add_column(column, justify="right")
    for rate in rates:
        medians = (f"{median(side):,.0f}" for side in (rate.ours, rate.raw))
        table.add_row(rate.what, str(len(rate.ours)), *medians, f"{rate.share:.2f}")
    Console(width=120).print("\n", table)
