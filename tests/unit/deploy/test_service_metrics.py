"""Each service exports its own metrics and those that all share, and no others."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from sluiceway.telemetry import metrics as shared
from sluiceway.telemetry.metrics import ReleaseGauge
from tests.support.expressions import ROOT
from tests.support.metrics import SERVICES, metrics_of, names_in

#: Prints the metrics that are registered once the service's program is imported.
REGISTERED = """
import importlib, json, sys
from prometheus_client import REGISTRY
importlib.import_module(f"services.{sys.argv[1]}.app")
print(json.dumps([family.name for family in REGISTRY.collect() if family.name.startswith("sluiceway_")]))
"""


def registered(service: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", REGISTERED, service], capture_output=True, text=True, check=True, cwd=ROOT
    )
    names: list[str] = json.loads(done.stdout)
    return names


def test_every_service_has_metrics_of_its_own() -> None:
    assert set(SERVICES) == {"console", "edge", "evaluator_publisher", "monitor", "scheduler"}
    for service in SERVICES:
        assert names_in(metrics_of(service)), service


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_exports_no_metric_of_another_service(service: str) -> None:
    at_scrapes = {
        gauge.name for gauge in vars(metrics_of(service)).values() if isinstance(gauge, ReleaseGauge)
    }

    own = set(names_in(metrics_of(service))) - at_scrapes

    assert sorted(registered(service)) == sorted(own | set(names_in(shared)))


def test_every_metric_is_defined_once() -> None:
    names = Counter(name for module in (shared, *map(metrics_of, SERVICES)) for name in names_in(module))

    assert [name for name, count in names.items() if count > 1] == []
