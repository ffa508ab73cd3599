"""An edge in this process, without a broker or a socket, and what it answers to one request."""

import asyncio
import json
from pathlib import Path
from typing import Any

from services.edge.app import Edge
from services.edge.settings import Settings
from sluiceway import sdk_keys
from sluiceway.client.rule_cache import Place, RuleCache
from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Region, SdkKey
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.stream_records import Position

REGION = "dev"
PLACE = Place(Position("2026-01-01T00:00:00Z", 7, 1_764_000_000_000), 1)
#: A request that waits for a change is ended after so many turns of the event loop.
TURNS_MAX = 200
Header = tuple[bytes, bytes]


def a_document(name: str = "checkout", **condition: Any) -> bytes:
    """Return a rule document of a gate with one condition; it is about the e-mail of a user by default."""
    about = condition or {"type": "user_field", "field": "email", "operator": "str_contains_any"}
    rule = {
        "name": "rule",
        "id": "rule",
        "passPercentage": 50,
        "returnValue": True,
        "conditions": ["c1"],
        "salt": "salt",
    }
    spec = {
        "type": "feature_gate",
        "entity": "feature_gate",
        "salt": name,
        "enabled": True,
        "defaultValue": False,
        "rules": [rule],
    }
    specs = {
        "feature_gates": {name: spec},
        "condition_map": {"c1": {"targetValue": ["@example.com"], **about}},
    }
    document = {"kind": "gate", "name": name, "epoch": 1, "revision": 3, "eventTimeMs": 1, "specs": specs}
    return json.dumps(document).encode()


class EdgeRequests:
    """Answers requests by the HTTP application of an edge that has rules and one key."""

    def __init__(self, folder: Path) -> None:
        self.key = sdk_keys.mint()
        stored = SdkKey(
            id=sdk_keys.key_id(self.key), digest=sdk_keys.digest(self.key), created_ms=0, region=REGION
        )
        place = Region.model_validate({"name": REGION, "environment": "development"})
        _store(
            folder / "edge" / f"{REGION}.keys",
            {
                subjects.catalogue("key", stored.id): stored.to_json(),
                subjects.catalogue("region", REGION): place.to_json(),
            },
        )
        rule = subjects.rule(REGION, FeatureKey(FeatureKind.GATE, "checkout"))
        _store(folder / "edge" / f"{REGION}.rules", {rule: a_document()})
        self._edge = Edge(Settings(region=REGION, snapshot_dir=folder))
        assert self._edge.rules.is_whole
        assert self._edge.pages
        self._pages = self._edge.pages
        self._loop = asyncio.new_event_loop()

    def status(self, method: str, path: str, query: bytes, headers: list[Header], body: bytes) -> int | None:
        """Return the status of an answer; None if the request was still waiting."""
        return self._loop.run_until_complete(self._status(method, path, query, headers, body))

    def close(self) -> None:
        self._edge.rules.close()
        self._edge.keys.close()
        self._loop.close()

    async def _status(
        self, method: str, path: str, query: bytes, headers: list[Header], body: bytes
    ) -> int | None:
        received = [{"type": "http.request", "body": body, "more_body": False}]
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            if received:
                return received.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "root_path": "",
            "query_string": query,
            "headers": headers,
            "client": ("192.0.2.1", 1),
            "server": ("127.0.0.1", 80),
        }
        answering = asyncio.ensure_future(self._pages(scope, receive, send))
        for _ in range(TURNS_MAX):
            if answering.done():
                answering.result()
                break
            await asyncio.sleep(0)
        answering.cancel()
        await asyncio.wait({answering})
        return statuses[0] if statuses else None


def _store(path: Path, documents: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cache = RuleCache(path)
    cache.store(dict(documents), PLACE, lambda: documents)
    cache.close()
