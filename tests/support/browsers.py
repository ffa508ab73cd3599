"""Somebody at the page, without a browser: cookies and forms, over HTTP."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from .http import http_client


class Browser:
    """Follows redirects, keeps cookies, and sends the forms of the page that it looks at."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self.page = ""

    async def get(self, path: str) -> httpx2.Response:
        return self._seen(await self.http.get(path, follow_redirects=True))

    async def post(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form, with the token of the page that was seen last."""
        data = fields if "csrf" in fields else {"csrf": self.csrf, **fields}
        return self._seen(await self.http.post(path, data=data, follow_redirects=True))

    async def sign_in(self, key: str) -> httpx2.Response:
        await self.get("/sign-in")
        return await self.post("/sign-in", key=key)

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.page)
        assert found, self.page
        return found[1]

    def _seen(self, answer: httpx2.Response) -> httpx2.Response:
        self.page = answer.text
        return answer


@asynccontextmanager
async def browsing(url: str, key: str | None = None) -> AsyncIterator[Browser]:
    """Give a browser; signed in, where there is a key."""
    async with http_client(base_url=url, headers={"accept": "text/html"}, timeout=15) as http:
        browser = Browser(http)
        if key:
            await browser.sign_in(key)
        yield browser
