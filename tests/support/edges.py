"""An edge inside the test's process, with its HTTP on a free port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from services.edge.app import Edge
from services.edge.settings import Settings
from sluiceway import sdk_keys
from sluiceway.contracts.catalogue import SdkKey
from sluiceway.contracts.commands import CreateKey
from sluiceway.http.server import health_server
from sluiceway.tasks import cancel_and_wait

from .system import Driver
from .waiting import eventually


class RunningEdge(NamedTuple):
    """An edge, and somebody who asks it with a key of its region."""

    edge: Edge
    url: str
    http: httpx2.AsyncClient

    async def flag(self, key: str, **context: Any) -> dict[str, Any]:
        answer = await self.http.post(f"/ofrep/v1/evaluate/flags/{key}", json={"context": context})
        found: dict[str, Any] = answer.json()
        return found


async def create_key(driver: Driver, **place: str) -> str:
    """Return a key for a region or an environment."""
    key = sdk_keys.mint()
    stored = SdkKey.model_validate(
        {"id": sdk_keys.key_id(key), "digest": sdk_keys.digest(key), "createdMs": 0, **place}
    )
    await driver.saved(CreateKey, key=stored.to_jsonable())
    return key


@asynccontextmanager
async def running_edge(
    nats_url: str, region: str, folder: Path, key: str = "", *, is_started: bool = True, **settings_: Any
) -> AsyncIterator[RunningEdge]:
    """Run an edge until the block ends; `key`, where given, is accepted when the block begins.

    Without `is_started`, the edge may still be waiting for its first rules then.
    """
    settings = Settings(nats_url=nats_url, region=region, snapshot_dir=folder, **settings_)
    edge = Edge(settings)
    headers = {"x-api-key": key, "statsig-api-key": key} if key else {}
    async with (
        health_server(settings, edge.readiness, edge.pages) as url,
        AsyncExitStack() as stack,
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=15) as http,
    ):
        starting = asyncio.create_task(stack.enter_async_context(edge))
        stack.push_async_callback(cancel_and_wait, starting)
        if is_started:
            await starting
        if key:
            await eventually(lambda: edge.keys.is_authorized(key), "the key is known")
        yield RunningEdge(edge, url, http)
