"""`python -m tests.benchmarks.report`: writes the recorded figures into the tables of docs/performance.md.

Each benchmark records its figures when it prints them; those of an earlier run stay until they are measured
again. `make bench` forgets them first.
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "data" / "bench.jsonl"
PAGE = ROOT / "docs" / "performance.md"


class Section(StrEnum):
    """A table of the page."""

    #: ours beside plain nats-py
    RAW = "raw"
    #: many active triggers
    SCALE = "scale"
    EDGE = "edge"


#: Row → column → figure.
Rows = dict[str, dict[str, str]]


def record(section: Section, row: str, figures: Mapping[str, str]) -> None:
    """Remember figures; other columns of the row stay."""
    FIGURES.parent.mkdir(exist_ok=True)
    with FIGURES.open("a") as file:
        file.write(json.dumps([section, row, figures]) + "\n")


def recorded(lines: Iterable[str]) -> dict[Section, Rows]:
    """Return the newest figures; rows are in the order in which they were recorded first."""
    sections: dict[Section, Rows] = {section: {} for section in Section}
    for line in lines:
        section, row, figures = json.loads(line)
        sections[Section(section)].setdefault(row, {}).update(figures)
    return sections


def grouped(rows: Rows) -> Rows:
    """Return the rows, those together that say the same of other regions (`… in …`)."""
    what = {row: row.partition(" in ")[0] for row in rows}
    order = list(dict.fromkeys(what.values()))
    return {row: rows[row] for row in sorted(rows, key=lambda row: order.index(what[row]))}


def table(rows: Rows) -> str:
    """Return the rows as a table in Markdown."""
    columns = list(dict.fromkeys(column for figures in rows.values() for column in figures))
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[row, *(figures.get(column, "") for column in columns)] for row, figures in rows.items()]
    return "".join("".join(f"| {cell} " if cell else "| " for cell in cells) + "|\n" for cells in lines)


def with_tables(page: str, sections: Mapping[Section, Rows]) -> str:
    """Return the page with the table of each section that has figures between its marks."""
    for section, rows in sections.items():
        mark = f"<!-- make bench: {section} -->\n"
        assert page.count(mark) == 2, f"expected the line {mark!r} twice, around a table"
        if rows:
            before, _, after = page.split(mark)
            page = f"{before}{mark}\n{table(grouped(rows))}\n{mark}{after}"
    return page


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text(), recorded(FIGURES.read_text().splitlines())))


if __name__ == "__main__":
    main()
