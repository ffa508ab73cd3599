"""The metrics that only the scheduler exports."""

from prometheus_client import Counter, Gauge, Histogram

from sluiceway.telemetry.metrics import SECONDS, remembered

COMMANDS = Counter(
    "sluiceway_commands_total",
    "Commands answered, by verb and outcome (accepted, unchanged, or the code of the refusal).",
    ("verb", "outcome"),
)
COMMAND_SECONDS = Histogram(
    "sluiceway_command_seconds",
    "Time from the arrival of a command to its reply, by verb.",
    ("verb",),
    buckets=SECONDS,
)
EVENTS = Counter("sluiceway_events_total", "Events appended to FEATURES, by type.", ("type",))
ACTIVE_TRIGGERS = Gauge("sluiceway_active_triggers", "Active triggers, by status.", ("status",))
PHASE_LATE_SECONDS = Histogram(
    "sluiceway_phase_late_seconds",
    "Time from the end of a phase's bake until the phase was left, including the time it was held.",
    buckets=SECONDS,
)
CLEARANCES = Counter(
    "sluiceway_clearances_total",
    "Clearance checks of due phases, by outcome (cleared, held, unanswered).",
    ("outcome",),
)
PHASE_OVERDUE_SECONDS = Gauge(
    "sluiceway_phase_overdue_seconds",
    "How long the longest waiting phase has been due, without phases held by a freeze; 0 if none is due.",
)
HELD_TRIGGERS = Gauge("sluiceway_held_triggers", "Triggers whose current phase is due but held.")

#: The series of what is counted for each command.
command_counter = remembered(COMMANDS.labels)
command_seconds = remembered(COMMAND_SECONDS.labels)
event_counter = remembered(EVENTS.labels)
