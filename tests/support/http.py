"""The HTTP client of tests."""

from typing import Any

import httpx2


def http_client(**options: Any) -> httpx2.AsyncClient:
    """Return a client of servers on this machine; it loads no certificates, which takes 25 ms of CPU."""
    return httpx2.AsyncClient(verify=False, **options)
