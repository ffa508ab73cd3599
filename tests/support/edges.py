"""An edge inside the test's process, with its HTTP on a free port."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from services.edge.app import Edge
from services.edge.settings import Settings
from sluiceway import sdk_keys
from sluiceway.client.region_rules import RegionRules
from sluiceway.client.rule_cache import Place, RuleCache
from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import SdkKey
from sluiceway.contracts.commands import CreateKey
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.http.server import health_server
from sluiceway.messaging.stream_records import Position, Record
from sluiceway.tasks import cancel_and_wait

from .http import http_client
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
        health_server(settings, edge.readiness, edge.pages, edge.warnings) as url,
        AsyncExitStack() as stack,
        http_client(base_url=url, headers=headers, timeout=15) as http,
    ):
        starting = asyncio.create_task(stack.enter_async_context(edge))
        stack.push_async_callback(cancel_and_wait, starting)
        if is_started:
            await starting
        if key:
            await eventually(lambda: edge.keys.is_authorized(key), "the key is known")
        yield RunningEdge(edge, url, http)


@asynccontextmanager
async def edge_from_disk(
    folder: Path, key: str, documents: Iterable[bytes], **settings_: Any
) -> AsyncIterator[RunningEdge]:
    """Run an edge of the region dev, without a broker, on a copy of these rule documents and of a key."""
    settings = Settings(region="dev", snapshot_dir=folder, **settings_)
    stored = SdkKey(id=sdk_keys.key_id(key), digest=sdk_keys.digest(key), created_ms=0, region="dev")
    keys = {subjects.catalogue("key", stored.id): stored.to_json()}
    copy = RuleCache(folder / settings.instance / "dev.keys")
    copy.store(keys, Place(Position("created", 1, 1), 0), lambda: keys)
    copy.close()
    rules = RegionRules("dev", folder / settings.instance)
    rules.replace(documents, Position("created", 1, 1), 1)
    rules.close()
    edge = Edge(settings)
    headers = {"x-api-key": key, "statsig-api-key": key}
    async with (
        health_server(settings, edge.readiness, edge.pages, edge.warnings) as url,
        http_client(base_url=url, headers=headers, timeout=15) as http,
    ):
        yield RunningEdge(edge, url, http)
        edge.feed.close()  # the server waits for what is held
    edge.rules.close()
    edge.keys.close()


def gate_document(name: str, revision: int = 1, **specs: Any) -> bytes:
    """Return the rule document of a gate that everybody passes; `specs`: more parts of it."""
    rule = {"name": "everyone", "id": "everyone", "passPercentage": 100.0, "conditions": ["public"]}
    spec = {
        "type": "feature_gate",
        "entity": "feature_gate",
        "salt": name,
        "enabled": True,
        "defaultValue": False,
        "rules": [{**rule, "returnValue": True, "idType": "userID"}],
        "idType": "userID",
        "version": revision,
    }
    parts = {
        "feature_gates": {name: spec},
        "condition_map": {"public": {"type": "public", "idType": "userID"}},
        **specs,
    }
    document = {"kind": "gate", "name": name, "epoch": 1, "revision": revision, "eventTimeMs": 0}
    return json.dumps({**document, "specs": parts}).encode()


def gate_record(name: str, revision: int, **specs: Any) -> Record:
    """Return the message of RULES with that document, at the sequence `revision`."""
    subject = subjects.rule("dev", FeatureKey(FeatureKind.GATE, name))
    return Record(subject, revision, revision, gate_document(name, revision, **specs), {})
