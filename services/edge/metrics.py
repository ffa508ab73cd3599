"""The metrics that only the edge exports."""

from prometheus_client import Counter, Gauge, Histogram

from sluiceway.telemetry.metrics import SECONDS, ReleaseGauge

PROPAGATION_SECONDS = Histogram(
    "sluiceway_propagation_seconds",
    "Time from an event until its rules are applied in this region.",
    ("region",),
    buckets=SECONDS,
)
APPLIED_REVISION = Gauge(
    "sluiceway_applied_revision", "Newest sequence in RULES that this region has applied.", ("region",)
)
STALE = Gauge(
    "sluiceway_edge_stale",
    "1 while an edge may serve old rules: the broker is not connected, or nothing comes from a publisher.",
    ("region",),
)
FEATURES = Gauge("sluiceway_features", "Features that have rules in this region.", ("region",))
SDK_EVENTS = Counter("sluiceway_sdk_events_total", "Events that official SDKs sent; they are not stored.")
EVALUATIONS = Counter(
    "sluiceway_ofrep_evaluations_total", "Flags evaluated over OFREP, by outcome.", ("outcome",)
)

RELEASE_APPLIED = ReleaseGauge(
    "sluiceway_release_applied",
    "1 if this region has the candidate of a release.",
    ("region", "trigger"),
)
