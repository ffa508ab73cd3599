"""The largest input that a user may send delays nobody else."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.identity import Role
from tests.support.browsers import browsing
from tests.support.consoles import create_api_key

from .conftest import Served

#: Seconds that the loop may not answer; some ten times what is measured beside nothing else.
PAUSE_SECONDS_MAX = 1.5


class Pauses:
    """How long the loop of this process has not turned."""

    def __init__(self) -> None:
        self.longest = 0.0


@asynccontextmanager
async def measured_pauses() -> AsyncIterator[Pauses]:
    pauses = Pauses()

    async def tick() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            pauses.longest, last = max(pauses.longest, now - last), now

    ticking = asyncio.create_task(tick())
    try:
        yield pauses
    finally:
        ticking.cancel()


def segment(name: str, prefix: str) -> str:
    """Return a segment of as many ids as it may have."""
    return f"kind: Segment\nname: {name}\nids:\n" + "".join(f"- {prefix}-{n}\n" for n in range(5_000))


async def stored(served: Served) -> None:
    ids = [f"one-{n}" for n in range(5_000)]
    await served.driver.accepted(SaveFeature, feature={"kind": "Segment", "name": "beta", "ids": ids})
    await served.console.backend.features.catch_up()


@pytest.mark.parametrize(
    "text",
    [
        segment("beta", "two"),
        "kind: DynamicConfig\nname: limits\ndefaultValue: {"
        + ",".join(f"k{n}: 1" for n in range(18_000))
        + "}",
        "kind: DynamicConfig\nname: limits\ndefaultValue: {a: [" + "01," * 20_000 + "]}",
    ],
    ids=["5,000 other ids", "a large config", "many errors"],
)
async def test_a_large_draft_is_previewed_while_others_are_answered(served: Served, text: str) -> None:
    await stored(served)
    key = await create_api_key(served.driver, Role.VIEWER, owner="vera")
    await served.console.backend.catalogue.catch_up()
    async with (
        browsing(served.console.url, served.console.key) as browser,
        served.console.caller(key) as other,
    ):
        await browser.get("/features/new")
        async with measured_pauses() as pauses:
            heavy = asyncio.create_task(browser.post("/drafts/preview", text=text, revision="0", back="/"))
            answered = 0
            while not heavy.done():
                assert (await other.get("/api/v1/me")).status_code == 200
                answered += 1

    assert (await heavy).status_code in (200, 400, 409)
    assert answered > 3
    assert pauses.longest < PAUSE_SECONDS_MAX


async def test_a_page_of_a_large_release_is_computed_once(served: Served) -> None:
    await stored(served)
    async with browsing(served.console.url, served.console.key) as browser:
        first = await browser.get("/features/segment/beta")
        async with measured_pauses() as pauses:
            again = await browser.get("/features/segment/beta")

    assert first.status_code == again.status_code == 200
    assert "one-4999" in first.text
    assert pauses.longest < PAUSE_SECONDS_MAX
