"""The console in a real Chromium, with every service behind it; screenshots land in build/console."""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Request, async_playwright, expect

from sluiceway.contracts.identity import Role
from tests.support.brokers import Broker
from tests.support.catalogues import REGIONS, apply_catalogue
from tests.support.consoles import RunningConsole, create_api_key, running_console
from tests.support.system import Driver, driving, following, services

PICTURES = Path(__file__).parents[3] / "build" / "console"
#: For whatever has to appear on a page.
BOUND_MS = 15_000
expect.set_options(timeout=BOUND_MS)


class Stage:
    """A system whose regions report, and people who look at it, each in a browser of their own."""

    def __init__(
        self, driver: Driver, console: RunningConsole, browser: Browser, stack: AsyncExitStack, name: str
    ) -> None:
        self.driver = driver
        self.console = console
        self._browser = browser
        self._stack = stack
        self._name = name
        #: What browsers complained about: errors, and requests to elsewhere.
        self.complaints: list[str] = []

    async def page(self, **options: Any) -> Page:
        """Return an empty page of a new browser profile."""
        context = await self._browser.new_context(
            base_url=self.console.url, viewport={"width": 1200, "height": 900}, **options
        )
        self._stack.push_async_callback(context.close)
        page = await context.new_page()
        page.set_default_timeout(BOUND_MS)
        page.on("request", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    async def person(self, name: str, *roles: Role, **fields: Any) -> Page:
        """Return the page of somebody who is signed in with these roles."""
        key = await create_api_key(self.driver, *roles, owner=name, **fields)
        await self.console.backend.catalogue.catch_up()
        page = await self.page()
        await sign_in(page, key)
        return page

    async def picture(self, page: Page, what: str) -> None:
        """Keep what a page looks like."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=PICTURES / f"{self._name}-{what}.png", full_page=True)

    def _note(self, request: Request) -> None:
        if not request.url.startswith((self.console.url, "data:")):
            self.complaints.append(f"requested {request.url}")


async def sign_in(page: Page, key: str) -> None:
    await page.goto("/")
    await page.get_by_label("Key").fill(key)
    await page.get_by_role("button", name="Sign in").click()


def chromium() -> str:
    """Return the path of Chromium; skip the test if it is not installed."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    return path


@pytest.fixture
async def stage(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    path = chromium()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(services(broker.url))
        driver = await stack.enter_async_context(driving(broker.url))
        await apply_catalogue(driver)
        for region in REGIONS:
            await stack.enter_async_context(following(broker.url, region))
        console = await stack.enter_async_context(running_console(broker.url, tmp_path))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        stack.push_async_callback(browser.close)
        async with AsyncExitStack() as people:
            stage = Stage(driver, console, browser, people, request.node.name)
            yield stage
        assert not stage.complaints
