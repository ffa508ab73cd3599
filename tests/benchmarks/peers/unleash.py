"""UnleashClient: a Rust core behind JSON; the features come from a cache in memory, without metrics."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from UnleashClient import UnleashClient  # type: ignore[attr-defined,unused-ignore]
from UnleashClient.cache import BaseCache
from UnleashClient.constants import FEATURES_URL
from UnleashClient.utils import InstanceAllowType

from tests.benchmarks.peers.people import ENVIRONMENT, OTHERS, PEOPLE, PLANS, REGIONS, VALUES, Workload

Context = dict[str, Any]

#: Longer than the benchmark: the cache does not change.
RELOAD_SECONDS = 3_600


class UnleashPeer:
    def __init__(self, client: UnleashClient) -> None:
        self._client = client

    def user(self, index: int) -> Context:
        person = PEOPLE[index]
        return {
            "userId": person.id,
            "environment": person.environment,
            "properties": {
                "email": person.email,
                "country": person.country,
                "region": person.region,
                "plan": person.plan,
            },
        }

    def gate(self, user: Context, name: str) -> bool:
        passed: bool = self._client.is_enabled(name, user)
        return passed

    def config(self, user: Context, name: str) -> Mapping[str, Any]:
        """A variant carries its value as JSON text, which the application parses."""
        value: Mapping[str, Any] = json.loads(self._client.get_variant(name, user)["payload"]["value"])
        return value


class MemoryCache(BaseCache):  # type: ignore[misc,unused-ignore]
    """What the client keeps, in a dictionary."""

    def __init__(self, features: list[dict[str, Any]]) -> None:
        self._held: dict[str, Any] = {FEATURES_URL: json.dumps({"version": 2, "features": features})}
        self.bootstrapped = True

    def set(self, key: str, value: Any) -> None:
        self._held[key] = value

    def mset(self, data: dict[str, Any]) -> None:
        self._held.update(data)

    def get(self, key: str, default: Any = None) -> Any:
        return self._held.get(key, default)

    def exists(self, key: str) -> bool:
        return key in self._held

    def destroy(self) -> None:
        self._held.clear()


@contextmanager
def prepared() -> Iterator[UnleashPeer]:
    client = UnleashClient(
        "http://127.0.0.1:1/api",
        "benchmark",
        refresh_interval=RELOAD_SECONDS,
        disable_metrics=True,
        disable_registration=True,
        cache=MemoryCache(_features()),
        multiple_instance_mode=InstanceAllowType.SILENTLY_ALLOW,
    )
    client.initialize_client(fetch_toggles=False)
    try:
        yield UnleashPeer(client)
    finally:
        client.destroy()


def _features() -> list[dict[str, Any]]:
    by_plan = [
        _strategy(100, _constraint("plan", [plan]), variants=[_variant(plan, value)])
        for plan, value in zip(PLANS, VALUES, strict=True)
    ]
    return [
        _feature(Workload.ON, {"name": "default", "parameters": {}}),
        _feature(Workload.REGION, _in_regions(100)),
        _feature(Workload.ROLLOUT, _in_regions(50)),
        _feature(Workload.CONFIG, *by_plan),
        *(_feature(name, _in_regions(100)) for name in OTHERS),
    ]


def _feature(name: str, *strategies: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "type": "release", "enabled": True, "strategies": list(strategies), "variants": []}


def _in_regions(percentage: int) -> dict[str, Any]:
    return _strategy(percentage, _constraint("environment", [ENVIRONMENT]), _constraint("region", REGIONS))


def _strategy(percentage: int, *constraints: dict[str, Any], **more: Any) -> dict[str, Any]:
    parameters = {"rollout": str(percentage), "stickiness": "userId", "groupId": "benchmark"}
    return {"name": "flexibleRollout", "parameters": parameters, "constraints": list(constraints), **more}


def _constraint(field: str, values: list[str]) -> dict[str, Any]:
    return {"contextName": field, "operator": "IN", "values": values}


def _variant(name: str, value: dict[str, Any]) -> dict[str, Any]:
    payload = {"type": "json", "value": json.dumps(value)}
    return {"name": name, "weight": 1000, "stickiness": "userId", "payload": payload}
