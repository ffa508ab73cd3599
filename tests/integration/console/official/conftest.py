"""A script that uses only the Console API, with the admin's key."""

from typing import Any

import httpx2
import pytest

from tests.integration.console.conftest import Served


class Script:
    """Calls the Console API."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ok(self, method: str, path: str, body: Any = None, *, status: int = 200, **query: Any) -> Any:
        """Return the data of an answer that must have this status."""
        answer = await self._http.request(method, f"/console/v1/{path}", json=body, params=query)
        assert answer.status_code == status, answer.text
        return answer.json().get("data")

    async def page(self, path: str, **query: Any) -> dict[str, Any]:
        """Return a list with its pagination."""
        answer = await self._http.get(f"/console/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def refused(self, method: str, path: str, body: Any = None, *, status: int, **query: Any) -> str:
        """Return the message of an answer that must have this status, in the one form."""
        answer = await self._http.request(method, f"/console/v1/{path}", json=body, params=query)
        assert answer.status_code == status, answer.text
        assert answer.json()["status"] == status
        return str(answer.json()["message"])


@pytest.fixture
def script(served: Served) -> Script:
    return Script(served.console.admin)
