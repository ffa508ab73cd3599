"""A small service in several regions: it exports how many requests it answered, and how many failed."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

HOST = "127.0.0.1"
REQUESTS_PER_SECOND = 200.0


class Traffic(Collector):
    """Counts requests as time goes on, at the same rate in every region; so many of them fail."""

    def __init__(self, regions: Iterable[str]) -> None:
        self._error_ratios = dict.fromkeys(regions, 0.0)
        self._requests = dict.fromkeys(self._error_ratios, 0.0)
        self._errors = dict.fromkeys(self._error_ratios, 0.0)
        self._counted_until = time.monotonic()
        self._lock = threading.Lock()

    def fail(self, region: str, error_ratio: float) -> None:
        """Let this share of a region's requests fail from now on."""
        with self._lock:
            self._count()
            self._error_ratios[region] = error_ratio

    def collect(self) -> Iterator[CounterMetricFamily]:
        with self._lock:
            self._count()
            counted = {"http_requests": dict(self._requests), "http_requests_errors": dict(self._errors)}
        for name, values in counted.items():
            family = CounterMetricFamily(name, "Requests.", labels=("region",))
            for region, value in values.items():
                family.add_metric((region,), value)
            yield family

    def _count(self) -> None:
        now = time.monotonic()
        requests = (now - self._counted_until) * REQUESTS_PER_SECOND
        self._counted_until = now
        for region, error_ratio in self._error_ratios.items():
            self._requests[region] += requests
            self._errors[region] += requests * error_ratio


@contextmanager
def exported(traffic: Traffic) -> Iterator[int]:
    """Serve the counters while the block runs; gives the port."""
    registry = CollectorRegistry()
    registry.register(traffic)
    server, thread = start_http_server(0, HOST, registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
