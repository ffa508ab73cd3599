"""flagd in this process, behind the OpenFeature client: pure Python; the flags come from a file."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

from tests.benchmarks.peers.people import ENVIRONMENT, OTHERS, PEOPLE, PLANS, REGIONS, VALUES, Workload

DOMAIN = "benchmark"
#: Between two looks at the file.
FILE_POLL_MS = 1_000
IN_REGIONS = {"and": [{"==": [{"var": "environment"}, ENVIRONMENT]}, {"in": [{"var": "region"}, REGIONS]}]}


class FlagdPeer:
    def __init__(self, client: OpenFeatureClient) -> None:
        self._client = client

    def user(self, index: int) -> EvaluationContext:
        person = PEOPLE[index]
        return EvaluationContext(
            targeting_key=person.id,
            attributes={
                "email": person.email,
                "country": person.country,
                "environment": person.environment,
                "region": person.region,
                "plan": person.plan,
            },
        )

    def gate(self, user: EvaluationContext, name: str) -> bool:
        passed: bool = self._client.get_boolean_value(name, False, user)
        return passed

    def config(self, user: EvaluationContext, name: str) -> Mapping[str, Any]:
        value = self._client.get_object_value(name, {}, user)
        assert isinstance(value, Mapping)
        return value


@contextmanager
def prepared() -> Iterator[FlagdPeer]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "flags.json")
        path.write_text(json.dumps({"flags": _flags()}))
        provider = FlagdProvider(
            resolver_type=ResolverType.FILE, offline_flag_source_path=str(path), deadline_ms=FILE_POLL_MS
        )
        api.set_provider_and_wait(provider, DOMAIN)
        try:
            yield FlagdPeer(api.get_client(DOMAIN))
        finally:
            api.shutdown()


def _flags() -> dict[str, Any]:
    halves = {"fractional": [["on", 50], ["off", 50]]}
    by_plan: list[Any] = []
    for plan in PLANS:
        by_plan += [{"==": [{"var": "plan"}, plan]}, plan]
    return {
        Workload.ON: _flag("on"),
        Workload.REGION: _flag("off", {"if": [IN_REGIONS, "on", "off"]}),
        Workload.ROLLOUT: _flag("off", {"if": [IN_REGIONS, halves, "off"]}),
        Workload.CONFIG: {
            "state": "ENABLED",
            "variants": {**dict(zip(PLANS, VALUES, strict=True)), "none": {}},
            "defaultVariant": "none",
            "targeting": {"if": [*by_plan, "none"]},
        },
        **{name: _flag("off", {"if": [IN_REGIONS, "on", "off"]}) for name in OTHERS},
    }


def _flag(default: str, targeting: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": default,
        "targeting": targeting or {},
    }
