"""The metrics that only the evaluator-publisher exports."""

from prometheus_client import Counter, Gauge, Histogram

from sluiceway.telemetry.metrics import SECONDS

RULE_DOCUMENTS = Counter(
    "sluiceway_rule_documents_total",
    "Rule documents written to RULES, by region and action (published, deleted).",
    ("region", "action"),
)
RULES_REFUSED = Counter(
    "sluiceway_rules_refused_total",
    "Events whose rules were not published because they would harm the SDKs that evaluate them.",
)
FAN_OUT_SECONDS = Histogram(
    "sluiceway_fan_out_seconds",
    "Time from an event until its rules are stored for the last region.",
    buckets=SECONDS,
)
PUBLISHED_REVISION = Gauge(
    "sluiceway_published_revision", "Newest sequence in RULES that was written for this region.", ("region",)
)
