"""Series of a metric are looked up once."""

from prometheus_client import CollectorRegistry, Counter

from services.scheduler import metrics as scheduler_metrics
from sluiceway.telemetry.metrics import remembered


def test_a_series_is_looked_up_once_and_counts_on() -> None:
    counter = Counter("letters", "Letters.", ("to",), registry=CollectorRegistry())
    looked_up = list[str]()

    def find(to: str) -> Counter:
        looked_up.append(to)
        return counter.labels(to)

    series = remembered(find)
    for to in ("ada", "bob", "ada", "ada"):
        series(to).inc()

    assert looked_up == ["ada", "bob"]
    assert (counter.labels("ada")._value.get(), counter.labels("bob")._value.get()) == (3, 1)


def test_a_remembered_series_is_that_of_the_metric() -> None:
    series = scheduler_metrics.event_counter("phase_advanced")

    assert series is scheduler_metrics.EVENTS.labels("phase_advanced")
