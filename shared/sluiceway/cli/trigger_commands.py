"""`sluiceway trigger …`: act on a release, and show its log."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Group

from ..contracts.commands import TriggerCommand
from ..contracts.envelope import rfc3339
from ..contracts.identifiers import feature_of
from ..contracts.identity import MONITOR
from ..contracts.measurements import Round, VerdictChanged
from ..contracts.replies import Outcome
from ..messaging.feature_log import FeatureLog
from ..messaging.measurement_store import MeasurementStore
from ..pipelines.actions import MANUAL_ACTIONS, ActionSpec
from ..trigger_view import describe_omissions, describe_override, trigger_view
from .apply import describe_progress
from .get import feature_of_trigger, find_trigger, table
from .guardrail_table import guardrail_table, newest_rounds
from .session import CliSession, OverrideFreeze, Reason, command

app = typer.Typer(help="Act on a release, or show its log.", no_args_is_help=True)

TriggerArgument = Annotated[
    str, typer.Argument(help="The id of the trigger, for example gate.new_checkout.1.")
]
PhaseOption = Annotated[
    str | None,
    typer.Option("--phase", help="The phase to act on. Default: the current phase."),
]
Measurements = Annotated[
    bool, typer.Option("--measurements", help="Show every stored measurement, not only the newest.")
]
#: Commands that are not named like their action.
NAMES = {"roll_out": "rollout"}
#: The types of log entries that are not events of the feature.
VERDICT, MEASUREMENT = "guardrail_verdict", "guardrail_measured"


class LogEntry(NamedTuple):
    """One line of the log of a trigger, and the JSON that `--json` prints for it."""

    time_ms: int
    type: str
    phase_id: str | None
    actor_id: str
    reason: str
    json: dict[str, Any]


def _add_command(action: ActionSpec) -> None:
    """Register `sluiceway trigger NAME` for an action on a release."""

    async def act(
        session: CliSession,
        trigger: TriggerArgument,
        phase: PhaseOption = None,
        override_freeze: OverrideFreeze = False,
        reason: Reason = None,
        **options: str,
    ) -> None:
        feature_of_trigger(trigger)
        fields: dict[str, Any] = {"actor": session.actor, "reason": reason, "trigger": trigger, **options}
        if action.acts_on_phase:
            fields["phase_id"] = phase or (await find_trigger(session, trigger))[1].current_run.phase.id
        if action.may_start_phase:
            fields["override_freeze"] = override_freeze
        await _send(session, action.command.model_validate(fields))

    act.__doc__ = action.command.__doc__
    act.__signature__ = _signature(act, action)  # type: ignore[attr-defined]
    name = NAMES.get(action.name, action.name)
    options = "".join(f" --{option.name} {option.default}" for option in action.options)
    command(app, name, f"sluiceway trigger {name} gate.new_checkout.1{options} --reason 'looks good'")(act)


def _signature(act: Callable[..., Any], action: ActionSpec) -> inspect.Signature:
    """Return the signature from which Typer derives the options: those that the action has."""
    has = {"phase": action.acts_on_phase, "override_freeze": action.may_start_phase, "options": False}
    own = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=Annotated[str, typer.Option(help=option.description)],
        )
        for option in action.options
    ]
    signature = inspect.signature(act)
    common = [parameter for name, parameter in signature.parameters.items() if has.get(name, True)]
    return signature.replace(parameters=[*common, *own])


for action in MANUAL_ACTIONS.values():
    _add_command(action)


async def _send(session: CliSession, sent: TriggerCommand) -> None:
    """Send the command of an action, and print the state of the trigger after it."""
    reply = await session.send(sent)
    assert reply.feature
    assert reply.feature.trigger
    trigger = reply.feature.trigger
    text = reply.message or ""
    if reply.outcome is Outcome.ACCEPTED:
        is_active = trigger.status.is_active
        text = describe_progress(reply.feature) if is_active else f"{trigger.id} {trigger.status}"
    session.print_result(trigger_view(reply.feature, trigger).to_jsonable(), text)


@command(
    app, "log", "sluiceway trigger log gate.new_checkout.1;  sluiceway trigger log gate.new_checkout.1 --json"
)
async def log(session: CliSession, trigger: TriggerArgument, measurements: Measurements = False) -> None:
    """Show what happened to a trigger, when, by whom and why, and the results of its guardrails."""
    await find_trigger(session, trigger)
    store = MeasurementStore(session.connection, "")
    rounds = await store.rounds(trigger)
    entries = [
        *await _event_entries(session, trigger),
        *(_verdict_entry(change) for change in await store.verdicts(trigger)),
        *(_measurement_entry(round_) for round_ in (rounds if measurements else newest_rounds(rounds))),
    ]
    entries.sort(key=lambda entry: entry.time_ms)
    rows = [
        (rfc3339(entry.time_ms), entry.type, entry.phase_id or "", entry.actor_id, entry.reason)
        for entry in entries
        if measurements or entry.type != MEASUREMENT
    ]
    events = table(("time", "event", "phase", "by", "reason"), rows)
    session.print_result(
        [entry.json for entry in entries],
        lambda: Group(events, "", guardrail_table(rounds)) if rounds else events,
    )


async def _event_entries(session: CliSession, trigger: str) -> list[LogEntry]:
    entries = []
    for sequence, event in await FeatureLog(session.connection, "").read_history(feature_of(trigger)):
        current = event.feature.trigger
        if event.phase_id is None or current is None or current.id != trigger:
            continue
        document = {"revision": sequence, **event.model_dump(mode="json", exclude={"feature"})}
        reason = (event.reason or "") + describe_override(event.overrode) + describe_omissions(event.left_out)
        entries.append(LogEntry(event.time_ms, event.type, event.phase_id, event.actor_id, reason, document))
    return entries


def _verdict_entry(change: VerdictChanged) -> LogEntry:
    document = {"type": VERDICT, "actorID": MONITOR, **change.to_jsonable()}
    return LogEntry(change.time_ms, VERDICT, change.phase_id, MONITOR, change.reason, document)


def _measurement_entry(round_: Round) -> LogEntry:
    reason = f"{round_.guardrail} {round_.verdict} in {round_.region}: {round_.why}"
    document = {"type": MEASUREMENT, "actorID": MONITOR, "reason": reason, **round_.to_jsonable()}
    return LogEntry(round_.time_ms, MEASUREMENT, round_.phase_id, MONITOR, reason, document)
