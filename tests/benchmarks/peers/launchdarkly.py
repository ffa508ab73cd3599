"""launchdarkly-server-sdk: pure Python; the flags come from a file, and no events are sent."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ldclient.client import LDClient
from ldclient.config import Config
from ldclient.context import Context
from ldclient.integrations import Files

from tests.benchmarks.peers.people import ENVIRONMENT, OTHERS, PEOPLE, PLANS, REGIONS, VALUES, Workload

TRUE, FALSE = 0, 1
#: Of 100,000.
HALF = 50_000


class LaunchDarklyPeer:
    def __init__(self, client: LDClient) -> None:
        self._client = client

    def user(self, index: int) -> Context:
        person = PEOPLE[index]
        return (
            Context.builder(person.id)
            .set("email", person.email)
            .set("country", person.country)
            .set("environment", person.environment)
            .set("region", person.region)
            .set("plan", person.plan)
            .build()
        )

    def gate(self, user: Context, name: str) -> bool:
        passed: bool = self._client.variation(name, user, False)
        return passed

    def config(self, user: Context, name: str) -> Mapping[str, Any]:
        value: Mapping[str, Any] = self._client.variation(name, user, {})
        return value


@contextmanager
def prepared() -> Iterator[LaunchDarklyPeer]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "flags.json")
        path.write_text(json.dumps({"flags": _flags()}))
        source = Files.new_data_source([str(path)])
        config = Config("sdk-key", update_processor_class=source, send_events=False, diagnostic_opt_out=True)
        client = LDClient(config)
    try:
        yield LaunchDarklyPeer(client)
    finally:
        client.close()  # type: ignore[no-untyped-call,unused-ignore]


def _flags() -> dict[str, Any]:
    halves = [{"variation": variation, "weight": HALF} for variation in (TRUE, FALSE)]
    by_plan = [
        {"id": plan, "variation": n, "clauses": [_clause("plan", [plan])]} for n, plan in enumerate(PLANS)
    ]
    return {
        Workload.ON: _flag(Workload.ON, fallthrough=TRUE),
        Workload.REGION: _flag(Workload.REGION, _in_regions(variation=TRUE)),
        Workload.ROLLOUT: _flag(Workload.ROLLOUT, _in_regions(rollout={"variations": halves})),
        Workload.CONFIG: _flag(Workload.CONFIG, *by_plan, variations=[*VALUES, {}], fallthrough=len(VALUES)),
        **{name: _flag(name, _in_regions(variation=TRUE)) for name in OTHERS},
    }


def _flag(
    name: str, *rules: dict[str, Any], variations: list[Any] | None = None, fallthrough: int = FALSE
) -> dict[str, Any]:
    return {
        "key": name,
        "version": 1,
        "on": True,
        "salt": name,
        "variations": variations or [True, False],
        "offVariation": FALSE,
        "fallthrough": {"variation": fallthrough},
        "rules": list(rules),
    }


def _in_regions(**outcome: Any) -> dict[str, Any]:
    clauses = [_clause("environment", [ENVIRONMENT]), _clause("region", REGIONS)]
    return {"id": "regions", "clauses": clauses, **outcome}


def _clause(attribute: str, values: list[str]) -> dict[str, Any]:
    return {"contextKind": "user", "attribute": attribute, "op": "in", "values": values}
