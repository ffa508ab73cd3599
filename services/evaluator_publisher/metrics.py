"""The metrics that only the evaluator-publisher exports."""

from prometheus_client import Counter, Gauge, Histogram

from sluiceway.telemetry.metrics import SECONDS, remembered

RULE_DOCUMENTS = Counter(
    "sluiceway_rule_documents_total",
    "Rule documents written to RULES, by region and action (published, deleted).",
    ("region", "action"),
)
RULES_REFUSED = Counter(
    "sluiceway_rules_refused_total",
    "Events whose rules cannot be published, because they are too large or would harm the SDKs.",
)
SUBSTITUTED_FEATURES = Gauge(
    "sluiceway_substituted_features",
    "Features whose newest version some region cannot receive; it holds an older one, or the default.",
)
FAN_OUT_SECONDS = Histogram(
    "sluiceway_fan_out_seconds",
    "Time from an event until its rules are stored for the last region, in each stream that holds rules.",
    buckets=SECONDS,
)
PUBLISHED_REVISION = Gauge(
    "sluiceway_published_revision", "Newest sequence in RULES that was written for this region.", ("region",)
)

#: The series that is counted in for each document.
rule_document_counter = remembered(RULE_DOCUMENTS.labels)
