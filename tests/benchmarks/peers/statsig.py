"""statsig-python-core: a Rust core; the specs come from a data store in memory, nothing is logged."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from statsig_python_core import (
    DataStore,
    DataStoreResponse,
    DynamicConfigEvaluationOptions,
    FeatureGateEvaluationOptions,
    Statsig,
    StatsigOptions,
    StatsigUser,
)

from tests.benchmarks.peers.people import PEOPLE
from tests.benchmarks.peers.specs import documents

SECONDS = 10
GATE_OPTIONS = FeatureGateEvaluationOptions(disable_exposure_logging=True)
CONFIG_OPTIONS = DynamicConfigEvaluationOptions(disable_exposure_logging=True)


class StatsigPeer:
    def __init__(self, client: Statsig) -> None:
        self._client = client

    def user(self, index: int) -> StatsigUser:
        person = PEOPLE[index]
        return StatsigUser(
            user_id=person.id,
            email=person.email,
            country=person.country,
            custom={"environment": person.environment, "region": person.region, "plan": person.plan},
        )

    def gate(self, user: StatsigUser, name: str) -> bool:
        passed: bool = self._client.check_gate(user, name, GATE_OPTIONS)
        return passed

    def config(self, user: StatsigUser, name: str) -> Mapping[str, Any]:
        value: Mapping[str, Any] = self._client.get_dynamic_config(user, name, CONFIG_OPTIONS).value
        return value


class Specs(DataStore):  # type: ignore[misc,unused-ignore]
    """Answers the SDK's first question for specs."""

    def get(self, key: str) -> DataStoreResponse:
        return DataStoreResponse(result=json.dumps(_payload()), time=1)


@contextmanager
def prepared() -> Iterator[StatsigPeer]:
    options = StatsigOptions(
        data_store=Specs(),  # type: ignore[no-untyped-call,unused-ignore]
        disable_network=True,
        disable_all_logging=True,
        disable_country_lookup=True,
        disable_disk_access=True,
        output_log_level="none",
    )
    client = Statsig("secret-benchmark", options)
    client.initialize().wait(SECONDS)
    try:
        yield StatsigPeer(client)
    finally:
        client.shutdown().wait(SECONDS)


def _payload() -> dict[str, Any]:
    """Merge the documents of all features into one answer of the config-spec endpoint."""
    merged: dict[str, Any] = {"feature_gates": {}, "dynamic_configs": {}, "condition_map": {}}
    for document in documents():
        specs = document.specs.to_jsonable()
        for part, entries in merged.items():
            entries |= specs[part]
    return merged | {
        "layer_configs": {},
        "experiment_to_layer": {},
        "has_updates": True,
        "time": 1,
        "company_id": "benchmark",
    }
