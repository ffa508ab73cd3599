"""A console inside the test's process, with its HTTP server on a free port."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from services.console.app import Console
from services.console.backend import ConsoleBackend
from services.console.settings import Settings
from sluiceway import console_keys
from sluiceway.contracts.commands import CreateKey
from sluiceway.contracts.identity import ApiKey, Grant, Role
from sluiceway.http.server import health_server

from .http import http_client
from .system import Driver

HEADER = "STATSIG-API-KEY"


class RunningConsole(NamedTuple):
    """A console, and an admin's client."""

    console: Console
    url: str
    #: Sends the admin's key.
    admin: httpx2.AsyncClient
    key: str

    @property
    def backend(self) -> ConsoleBackend:
        """The console's backend."""
        return self.console.backend_provider()

    @property
    def state(self) -> Any:
        """What the console's routes share."""
        return self.console.pages.app.state  # type: ignore[union-attr]

    def caller(self, key: str | None) -> httpx2.AsyncClient:
        """Return a client that sends a key, or none (None); the caller closes it."""
        headers = {HEADER: key} if key else {}
        return http_client(base_url=self.url, headers=headers, timeout=15)


async def create_api_key(
    driver: Driver,
    *roles: Role,
    owner: str = "",
    groups: Sequence[str] = (),
    expires_ms: int | None = None,
    **scope: Sequence[str],
) -> str:
    """Return a key with these roles, for the environments and pipelines of `scope`."""
    key = console_keys.mint()
    stored = ApiKey(
        id=console_keys.key_id(key),
        owner=owner or "-".join(roles),
        groups=tuple(groups),
        grants=tuple(Grant.model_validate({"role": role, **scope}) for role in roles),
        hash=console_keys.hash_of(key),
        created_ms=0,
        expires_ms=expires_ms,
    )
    await driver.saved(CreateKey, key=stored.to_jsonable())
    return key


@asynccontextmanager
async def running_console(nats_url: str, folder: Path, **settings_: Any) -> AsyncIterator[RunningConsole]:
    """Run a console until the block ends."""
    file = folder / "console.key"
    given: dict[str, Any] = {"requests_per_second": 10_000, "bootstrap_key_file": file, **settings_}
    settings = Settings(nats_url=nats_url, **given)
    console = Console(settings)
    async with health_server(settings, console.readiness, console.pages) as url, console:
        key = file.read_text()
        async with http_client(base_url=url, headers={HEADER: key}, timeout=15) as admin:
            yield RunningConsole(console, url, admin, key)
