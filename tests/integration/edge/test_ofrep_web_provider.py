"""OpenFeature's unmodified provider for browsers: it hears of changes after its address has expired, too."""

import time

import pytest

from services.edge import ofrep_events
from tests.integration.edge.conftest import Served
from tests.support.node import installed_packages, running_script
from tests.support.proxies import free_port, proxying
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

TOKEN_SECONDS, RENEW_SECONDS = 6, 2
LISTENING = "GET /ofrep/v1/events 200"


@pytest.fixture(autouse=True)
def _short_lived_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    installed_packages()
    monkeypatch.setattr(ofrep_events, "TOKEN_SECONDS", TOKEN_SECONDS)
    monkeypatch.setattr(ofrep_events, "RENEW_SECONDS", RENEW_SECONDS)


async def expired(since: float) -> None:
    """Wait until every address that was announced before has expired."""
    await eventually(lambda: time.monotonic() > since + TOKEN_SECONDS + 1, "the addresses have expired")


async def test_a_stream_that_is_older_than_its_address_tells_of_changes(dev: Served) -> None:
    driver, edge, key = dev
    await driver.save_gate("checkout")
    async with (
        proxying(edge.url) as proxy,
        running_script("listen.mjs", proxy.url, key, "checkout") as browser,
    ):
        before = await browser.value()
        await expired(time.monotonic())
        await driver.save_gate("checkout", EVERYONE)
        after = await browser.value()

    assert (before, after) == (False, True)
    assert proxy.requests.count(LISTENING) == 1, "the stream was never cut"


async def test_a_client_that_was_cut_off_until_its_address_expired_gets_a_new_one(dev: Served) -> None:
    driver, edge, key = dev
    await driver.save_gate("checkout")
    port = free_port()
    async with proxying(edge.url, port=port) as proxy:
        browsing = running_script("listen.mjs", proxy.url, key, "checkout")
        browser = await browsing.__aenter__()
        before = await browser.value()
        await eventually(lambda: LISTENING in proxy.requests, "it listens")
    await expired(time.monotonic())
    async with proxying(edge.url, port=port) as proxy:
        await eventually(lambda: LISTENING in proxy.requests, "it listens at a new address")
        await driver.save_gate("checkout", EVERYONE)
        after = await browser.value()
        await browsing.__aexit__(None, None, None)

    assert (before, after) == (False, True)
