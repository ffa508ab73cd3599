"""Every metric of Sluiceway: name, unit, labels. One registry a process."""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

#: Bounds in seconds; each objective lies exactly on one.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

COMMANDS = Counter(
    "sluiceway_commands_total",
    "Commands answered, by verb and outcome (accepted, unchanged, or the code of the refusal).",
    ("verb", "outcome"),
)
COMMAND_SECONDS = Histogram(
    "sluiceway_command_seconds", "From a command's arrival to its answer.", ("verb",), buckets=SECONDS
)
EVENTS = Counter("sluiceway_events_total", "Events appended to FEATURES, by type.", ("type",))
ACTIVE_TRIGGERS = Gauge("sluiceway_active_triggers", "Active triggers, by status.", ("status",))
PHASE_LATE_SECONDS = Histogram(
    "sluiceway_phase_late_seconds",
    "How long after the end of its bake a phase was left; holds included.",
    buckets=SECONDS,
)
RULE_DOCUMENTS = Counter(
    "sluiceway_rule_documents_total",
    "Rule documents written into RULES, by region and by what was done (published, deleted).",
    ("region", "action"),
)
RULES_REFUSED = Counter(
    "sluiceway_rules_refused_total", "Events whose rules were not published, since they would do harm."
)
FAN_OUT_SECONDS = Histogram(
    "sluiceway_fan_out_seconds", "From an event to its rules stored for the last region.", buckets=SECONDS
)
PROPAGATION_SECONDS = Histogram(
    "sluiceway_propagation_seconds",
    "From an event to its rules applied in this region.",
    ("region",),
    buckets=SECONDS,
)
APPLIED_REVISION = Gauge(
    "sluiceway_applied_revision", "Newest sequence of RULES that this region has applied.", ("region",)
)
FEATURES_HELD = Gauge("sluiceway_features", "Features whose rules this region holds.", ("region",))
SDK_EVENTS = Counter("sluiceway_sdk_events_total", "Events that official SDKs sent; they are not kept.")
CHECKS = Counter(
    "sluiceway_ofrep_evaluations_total", "Flags evaluated over OFREP, by what became of it.", ("outcome",)
)
ALERTS = Counter(
    "sluiceway_alerts_total",
    "Alerts, by what became of them (received, matched, unmatched, resolved, rolled_back, refused).",
    ("outcome",),
)
DEAD_LETTERS = Counter(
    "sluiceway_dead_letters_total",
    "Messages rejected and kept, by service and reason.",
    ("service", "reason"),
)
RECONNECTS = Counter("sluiceway_broker_reconnects_total", "Times the connection to the broker came back.")
