"""What a scrape is answered."""

import gzip
from typing import Any

from sluiceway.telemetry import metrics
from sluiceway.telemetry.exposition import render_metrics


def scope(query: str = "", **headers: str) -> dict[str, Any]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"query_string": query.encode(), "headers": named}


async def test_a_scrape_shows_every_metric_in_the_form_that_is_asked_for() -> None:
    metrics.RECONNECTS.inc(0)

    plain = await render_metrics(scope())
    open_metrics = await render_metrics(scope(accept="application/openmetrics-text; version=1.0.0"))

    assert b"# HELP sluiceway_broker_reconnects_total" in plain.body
    assert plain.headers[0][1].startswith(b"text/plain")
    assert open_metrics.body.endswith(b"# EOF\n")


async def test_a_scrape_may_be_compressed_and_restricted() -> None:
    metrics.RECONNECTS.inc(0)

    page = await render_metrics(scope("name[]=sluiceway_broker_reconnects_total", accept_encoding="gzip"))

    assert (b"content-encoding", b"gzip") in page.headers
    series = [line for line in gzip.decompress(page.body).splitlines() if not line.startswith(b"#")]
    assert [line.split()[0] for line in series] == [b"sluiceway_broker_reconnects_total"]
