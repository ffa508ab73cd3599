"""Which metrics each service exports, by the modules that define them."""

import importlib
from collections.abc import Iterator
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

from sluiceway.telemetry import metrics as shared
from sluiceway.telemetry.metrics import ReleaseGauge

from .expressions import ROOT

#: Every process: a folder with an `app.py`.
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/app.py"))
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
#: What every process exports as well as our own metrics, and what Prometheus itself makes.
STANDARD = {
    "up": frozenset[str](),
    "process_cpu_seconds_total": frozenset[str](),
    "process_resident_memory_bytes": frozenset[str](),
}


def metrics_of(service: str) -> ModuleType:
    """Return the module with a service's own metrics."""
    return importlib.import_module(f"services.{service}.metrics")


def names_in(module: ModuleType) -> list[str]:
    """Return the names of the metrics that a module defines, as a registry has them."""
    return [
        metric.name if isinstance(metric, ReleaseGauge) else metric._name
        for metric in vars(module).values()
        if isinstance(metric, MetricWrapperBase | ReleaseGauge)
    ]


def exported() -> dict[str, frozenset[str]]:
    """Return every series that our processes export, and its labels."""
    found = dict(STANDARD)
    for module in (shared, *map(metrics_of, SERVICES)):
        found.update(_series(module))
    return found


def _series(module: ModuleType) -> Iterator[tuple[str, frozenset[str]]]:
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            for suffix in SUFFIXES[str(metric._type)]:
                bound = {"le"} if suffix == "_bucket" else set[str]()
                yield metric._name + suffix, frozenset((*metric._labelnames, *bound))
        elif isinstance(metric, ReleaseGauge):
            yield metric.name, frozenset(metric.labels)
