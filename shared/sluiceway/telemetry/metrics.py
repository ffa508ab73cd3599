"""Every metric of Sluiceway: name, unit, labels. One registry a process."""

from typing import NamedTuple

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
PUBLISHED_REVISION = Gauge(
    "sluiceway_published_revision", "Newest sequence of RULES that was written for this region.", ("region",)
)
EDGE_STALE = Gauge(
    "sluiceway_edge_stale",
    "1 while an edge serves what it last heard, since the broker is away.",
    ("region",),
)
FEATURES_HELD = Gauge("sluiceway_features", "Features whose rules this region holds.", ("region",))
SDK_EVENTS = Counter("sluiceway_sdk_events_total", "Events that official SDKs sent; they are not kept.")
CHECKS = Counter(
    "sluiceway_ofrep_evaluations_total", "Flags evaluated over OFREP, by what became of it.", ("outcome",)
)
CONSOLE_REQUESTS = Counter(
    "sluiceway_console_requests_total", "Requests to the console, by route and status.", ("route", "status")
)
CONSOLE_SECONDS = Histogram(
    "sluiceway_console_request_seconds",
    "From a request to the console to the start of its answer, by what was asked (official, ours, page).",
    ("surface",),
    buckets=SECONDS,
)
CONSOLE_LISTENERS = Gauge("sluiceway_console_listeners", "Streams of events that are open at the console.")
ALERTS = Counter(
    "sluiceway_alerts_total",
    "Alerts, by what became of them "
    "(received, matched, unmatched, before_release, resolved, rolled_back, paused, notified, refused).",
    ("outcome",),
)
ALERTMANAGER_REQUESTS = Counter(
    "sluiceway_alertmanager_requests_total",
    "Requests of an Alertmanager, by the status answered.",
    ("status",),
)
GUARDRAIL_ROUNDS = Counter(
    "sluiceway_guardrail_rounds_total", "Looks at a guardrail in all its regions, by verdict.", ("verdict",)
)
GUARDRAIL_ACTIONS = Counter(
    "sluiceway_guardrail_actions_total",
    "What guardrails have done (rollback, pause, notify), by action.",
    ("action",),
)
QUERIES = Counter(
    "sluiceway_prometheus_queries_total",
    "Queries sent to Prometheus, by outcome (answered, no_data, refused, unreachable).",
    ("outcome",),
)
QUERY_SECONDS = Histogram(
    "sluiceway_prometheus_query_seconds", "From a query to its answer, or to its error.", buckets=SECONDS
)
PROMETHEUS_UP = Gauge(
    "sluiceway_prometheus_up", "1 while Prometheus answers the queries of guardrails, 0 while it does not."
)
CLEARANCES = Counter(
    "sluiceway_clearances_total",
    "Times a scheduler asked whether a due phase may be left, by outcome (cleared, held, unanswered).",
    ("outcome",),
)
PHASE_OVERDUE_SECONDS = Gauge(
    "sluiceway_phase_overdue_seconds",
    "How long the phase that waits longest has been due, unless a freeze holds it; 0 where none is due.",
)
HELD_TRIGGERS = Gauge("sluiceway_held_triggers", "Triggers whose phase is due and may not be left.")
NOTIFICATIONS = Counter(
    "sluiceway_notifications_total",
    "Notifications, by receiver and outcome (delivered, retried, dead).",
    ("receiver", "outcome"),
)
DEAD_LETTERS = Counter(
    "sluiceway_dead_letters_total",
    "Messages rejected and kept, by service and reason.",
    ("service", "reason"),
)
RECONNECTS = Counter("sluiceway_broker_reconnects_total", "Times the connection to the broker came back.")


class ReleaseGauge(NamedTuple):
    """A gauge whose series belong to single releases: made at a scrape, gone with the release."""

    name: str
    documentation: str
    labels: tuple[str, ...]


RELEASE_PHASE = ReleaseGauge(
    "sluiceway_release_phase",
    "Number of the phase, from 1, at which an active or observed release stands.",
    ("trigger", "pipeline", "status"),
)
RELEASE_PHASES = ReleaseGauge(
    "sluiceway_release_phases", "How many phases a release has.", ("trigger", "pipeline")
)
RELEASE_APPLIED = ReleaseGauge(
    "sluiceway_release_applied",
    "1 where this region holds the candidate of a release.",
    ("region", "trigger"),
)
GUARDRAIL_VALUE = ReleaseGauge(
    "sluiceway_guardrail_value",
    "Last value of a guardrail's query.",
    ("trigger", "phase", "guardrail", "region"),
)
GUARDRAIL_LIMIT = ReleaseGauge(
    "sluiceway_guardrail_limit",
    "The number in a guardrail's condition: beyond it, or short of it, a measurement fails.",
    ("trigger", "phase", "guardrail"),
)
GUARDRAIL_VERDICT = ReleaseGauge(
    "sluiceway_guardrail_verdict",
    "1 for what a guardrail says now (pending, passing, failing, inconclusive, blind, lost, failed).",
    ("trigger", "phase", "guardrail", "verdict"),
)
#: Series of releases in one scrape; of the rest only the newest are shown.
RELEASE_SERIES_MAX = 5_000
