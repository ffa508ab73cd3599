"""The metrics that only the monitor exports."""

from prometheus_client import Counter, Gauge, Histogram

from sluiceway.telemetry.metrics import SECONDS, ReleaseGauge

ALERTS = Counter(
    "sluiceway_alerts_total",
    "Alerts, by outcome "
    "(received, matched, unmatched, before_release, out_of_scope, resolved, rolled_back, paused, notified, "
    "refused, handed_back).",
    ("outcome",),
)
ALERTMANAGER_REQUESTS = Counter(
    "sluiceway_alertmanager_requests_total",
    "Webhook requests from an Alertmanager, by response status.",
    ("status",),
)
ALERTMANAGER_TRUNCATED = Counter(
    "sluiceway_alertmanager_truncated_alerts_total",
    "Alerts that an Alertmanager left out of its requests, because of max_alerts.",
)
GUARDRAIL_ROUNDS = Counter(
    "sluiceway_guardrail_rounds_total",
    "Measurement rounds of guardrails, each in all regions, by verdict.",
    ("verdict",),
)
GUARDRAIL_ACTIONS = Counter(
    "sluiceway_guardrail_actions_total",
    "Actions taken by guardrails (rollback, pause, notify).",
    ("action",),
)
QUERIES = Counter(
    "sluiceway_prometheus_queries_total",
    "Queries sent to Prometheus, by outcome (answered, no_data, refused, unreachable).",
    ("outcome",),
)
QUERY_SECONDS = Histogram(
    "sluiceway_prometheus_query_seconds",
    "Time from a query to its answer or error.",
    buckets=SECONDS,
)
PROMETHEUS_UP = Gauge(
    "sluiceway_prometheus_up", "1 while Prometheus answers the queries of guardrails, 0 while it does not."
)
NOTIFICATIONS = Counter(
    "sluiceway_notifications_total",
    "Notifications, by receiver and outcome (delivered, retried, dead).",
    ("receiver", "outcome"),
)

RELEASE_PHASE = ReleaseGauge(
    "sluiceway_release_phase",
    "Number of the current phase, from 1, of an active or observed release.",
    ("trigger", "pipeline", "status"),
)
RELEASE_PHASES = ReleaseGauge(
    "sluiceway_release_phases", "Number of phases of a release.", ("trigger", "pipeline")
)
GUARDRAIL_VALUE = ReleaseGauge(
    "sluiceway_guardrail_value",
    "Last value of a guardrail's query.",
    ("trigger", "phase", "guardrail", "region"),
)
GUARDRAIL_LIMIT = ReleaseGauge(
    "sluiceway_guardrail_limit",
    "The number in a guardrail's condition; a measurement on the wrong side of it fails.",
    ("trigger", "phase", "guardrail"),
)
GUARDRAIL_VERDICT = ReleaseGauge(
    "sluiceway_guardrail_verdict",
    "1 for the current verdict of a guardrail "
    "(pending, passing, failing, inconclusive, blind, lost, failed).",
    ("trigger", "phase", "guardrail", "verdict"),
)
#: Series of releases in one scrape; if there are more, only the releases that changed last are shown.
RELEASE_SERIES_MAX = 5_000


def record_query(outcome: str, seconds: float) -> None:
    """Count a query to Prometheus."""
    QUERIES.labels(outcome).inc()
    QUERY_SECONDS.observe(seconds)
    PROMETHEUS_UP.set(0 if outcome == "unreachable" else 1)
