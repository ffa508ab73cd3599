"""What a scrape is answered."""

import asyncio
import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY, Metric

from sluiceway.telemetry import metrics
from sluiceway.telemetry.exposition import FRESH_SECONDS, UNUSUAL_BURST, MetricsPages, prepare_before_scrapes


def scope(query: str = "", **headers: str) -> dict[str, Any]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"query_string": query.encode(), "headers": named}


async def test_a_scrape_shows_every_metric_in_the_form_that_is_asked_for() -> None:
    metrics.RECONNECTS.inc(0)

    plain = await MetricsPages().page(scope())
    open_metrics = await MetricsPages().page(scope(accept="application/openmetrics-text; version=1.0.0"))

    assert b"# HELP sluiceway_broker_reconnects_total" in plain.body
    assert plain.headers[0][1].startswith(b"text/plain")
    assert open_metrics.body.endswith(b"# EOF\n")


async def test_a_scrape_may_be_compressed_and_restricted() -> None:
    metrics.RECONNECTS.inc(0)

    page = await MetricsPages().page(
        scope("name[]=sluiceway_broker_reconnects_total", accept_encoding="gzip")
    )

    assert (b"content-encoding", b"gzip") in page.headers
    series = [line for line in gzip.decompress(page.body).splitlines() if not line.startswith(b"#")]
    assert [line.split()[0] for line in series] == [b"sluiceway_broker_reconnects_total"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def collections(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One entry for each time that all metrics were collected."""
    found: list[None] = []
    collect = REGISTRY.collect

    def counted() -> Iterator[Metric]:
        found.append(None)
        return iter(collect())

    monkeypatch.setattr(REGISTRY, "collect", counted)
    return found


async def test_a_page_is_rendered_once_for_all_who_ask_meanwhile_and_a_moment_later(
    collections: list[None],
) -> None:
    clock = Clock()
    pages = MetricsPages(clock)

    together = await asyncio.gather(*(pages.page(scope()) for _ in range(50)))
    clock.now += FRESH_SECONDS / 2
    soon = await pages.page(scope())
    meanwhile = len(collections)
    clock.now += FRESH_SECONDS
    await pages.page(scope())

    assert {page.body for page in together} == {soon.body}
    assert (meanwhile, len(collections)) == (1, 2)


async def test_each_form_has_a_page_of_its_own() -> None:
    metrics.RECONNECTS.inc(0)
    pages = MetricsPages()

    plain, compressed, open_metrics, restricted = await asyncio.gather(
        pages.page(scope()),
        pages.page(scope(accept_encoding="gzip")),
        pages.page(scope(accept="application/openmetrics-text; version=1.0.0")),
        pages.page(scope("name[]=sluiceway_broker_reconnects_total")),
    )

    assert gzip.decompress(compressed.body).startswith(b"# HELP")
    assert dict(compressed.headers)[b"content-encoding"] == b"gzip"
    assert b"content-encoding" not in dict(plain.headers)
    assert open_metrics.body.endswith(b"# EOF\n")
    assert len(restricted.body) < len(plain.body)


async def test_a_client_that_goes_away_does_not_end_the_page_of_others() -> None:
    pages = MetricsPages()
    first = asyncio.create_task(pages.page(scope()))
    second = asyncio.create_task(pages.page(scope()))
    await asyncio.sleep(0)

    first.cancel()

    assert (await second).status == 200


async def test_unusual_queries_are_bounded_and_keep_no_usual_one_waiting() -> None:
    pages = MetricsPages(Clock())

    unusual = [await pages.page(scope(f"name[]=x{n}")) for n in range(UNUSUAL_BURST + 1)]
    version = await pages.page(scope(accept="application/openmetrics-text; version=1.0.7"))
    usual = await pages.page(scope())

    assert [page.status for page in unusual] == [200] * UNUSUAL_BURST + [429]
    assert (version.status, usual.status) == (429, 200)


async def test_an_invalid_version_is_answered_in_plain_text() -> None:
    page = await MetricsPages().page(scope(accept="text/plain; version=x"))

    assert (page.status, page.headers[0][1]) == (200, b"text/plain; version=0.0.4; charset=utf-8")


async def test_what_takes_long_is_prepared_before_a_scrape_until_it_ends() -> None:
    prepared = []

    async def prepare() -> None:
        await asyncio.sleep(0)
        metrics.RECONNECTS.inc(0)
        prepared.append(1)

    end = prepare_before_scrapes(prepare)
    await MetricsPages().page(scope())
    end()
    await MetricsPages().page(scope())

    assert prepared == [1]
