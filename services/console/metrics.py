"""The metrics that only the console exports."""

from prometheus_client import Counter, Gauge, Histogram

from sluiceway.telemetry.metrics import SECONDS

REQUESTS = Counter(
    "sluiceway_console_requests_total",
    "Requests to the console, by route and response status.",
    ("route", "status"),
)
REQUEST_SECONDS = Histogram(
    "sluiceway_console_request_seconds",
    "Time from a request to the start of its response, by surface (official, ours, page).",
    ("surface",),
    buckets=SECONDS,
)
EVENT_STREAMS = Gauge("sluiceway_console_listeners", "Open event streams of the console.")
