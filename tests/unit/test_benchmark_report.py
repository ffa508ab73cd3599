"""The tables of docs/performance.md are written from the figures of `make bench`."""

from tests.benchmarks.report import PAGE, Section, grouped, recorded, table, with_tables

LINES = [
    '["raw", "alert in one region", {"ours": "3", "raw": "1"}]',
    '["raw", "start in one region", {"ours": "2", "raw": "1"}]',
    '["raw", "alert in the last of 10 regions", {"ours": "5", "raw": "2"}]',
    '["raw", "alert in one region", {"ours": "4"}]',
]


def test_the_newest_figures_of_a_row_count() -> None:
    rows = recorded(LINES)[Section.RAW]

    assert rows["alert in one region"] == {"ours": "4", "raw": "1"}


def test_a_table_has_a_column_for_each_figure() -> None:
    assert table({"1 row": {"a": "1"}, "2 rows": {"b": "2"}}) == (
        "| | a | b |\n| --- | --- | --- |\n| 1 row | 1 | |\n| 2 rows | | 2 |\n"
    )


def test_rows_about_the_same_hop_stand_together() -> None:
    rows = grouped(recorded(LINES)[Section.RAW])

    assert list(rows) == ["alert in one region", "alert in the last of 10 regions", "start in one region"]


def test_the_page_has_the_table_of_each_section_once() -> None:
    sections = {section: {section.value: {"a": "1"}} for section in Section}

    page = with_tables(with_tables(PAGE.read_text(), sections), sections)

    assert [page.count(table(rows)) for rows in sections.values()] == [1] * len(Section)


def test_a_section_without_figures_keeps_its_table() -> None:
    page = PAGE.read_text()

    assert with_tables(page, recorded([])) == page
