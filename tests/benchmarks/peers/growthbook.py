"""growthbook: pure Python; the features come as a dictionary, and the user is set before each check."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from growthbook import GrowthBook

from tests.benchmarks.peers.people import ENVIRONMENT, OTHERS, PEOPLE, PLANS, REGIONS, VALUES, Workload

Attributes = dict[str, Any]

IN_REGIONS = {"environment": ENVIRONMENT, "region": {"$in": REGIONS}}


class GrowthBookPeer:
    def __init__(self, growthbook: GrowthBook) -> None:
        self._growthbook = growthbook

    def user(self, index: int) -> Attributes:
        person = PEOPLE[index]
        return {
            "id": person.id,
            "email": person.email,
            "country": person.country,
            "environment": person.environment,
            "region": person.region,
            "plan": person.plan,
        }

    def gate(self, user: Attributes, name: str) -> bool:
        self._growthbook.set_attributes(user)
        passed: bool = self._growthbook.is_on(name)
        return passed

    def config(self, user: Attributes, name: str) -> Mapping[str, Any]:
        self._growthbook.set_attributes(user)
        value: Mapping[str, Any] = self._growthbook.get_feature_value(name, {})
        return value


@contextmanager
def prepared() -> Iterator[GrowthBookPeer]:
    growthbook = GrowthBook(features=_features())
    try:
        yield GrowthBookPeer(growthbook)
    finally:
        growthbook.destroy()


def _features() -> dict[str, Any]:
    rollout = {"condition": IN_REGIONS, "force": True, "coverage": 0.5, "hashAttribute": "id"}
    by_plan = [
        {"condition": {"plan": plan}, "force": value} for plan, value in zip(PLANS, VALUES, strict=True)
    ]
    return {
        Workload.ON: {"defaultValue": True},
        Workload.REGION: _in_regions(),
        Workload.ROLLOUT: {"defaultValue": False, "rules": [rollout]},
        Workload.CONFIG: {"defaultValue": {}, "rules": by_plan},
        **{name: _in_regions() for name in OTHERS},
    }


def _in_regions() -> dict[str, Any]:
    return {"defaultValue": False, "rules": [{"condition": IN_REGIONS, "force": True}]}
