"""The console's first page, as somebody who is signed in loads it."""

import re

import httpx2

from .measure import Samples, timed

LOADS = 100


async def measure_overview(url: str, key: str) -> Samples:
    """Sign in with the first key, and load the overview again and again."""
    samples = Samples()
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        csrf = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/sign-in")).text)
        assert csrf
        form = {"csrf": csrf[1], "next": "/", "key": key}
        signed_in = await client.post("/sign-in", data=form)
        assert signed_in.status_code == 303, signed_in.text
        for _ in range(LOADS):
            await timed(samples, lambda: _load(client))
    return samples


async def _load(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/")
    assert answer.status_code == 200, answer.text
