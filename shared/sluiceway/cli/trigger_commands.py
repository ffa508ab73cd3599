"""`sluiceway trigger …`: act on a release, and read what was done."""

import inspect
from typing import Annotated, Any

import typer
from rich.console import Group

from ..contracts.commands import (
    AbortTrigger,
    ApprovePhase,
    PauseTrigger,
    PhaseCommand,
    RollOutTrigger,
    SkipPhase,
    StartingCommand,
    TriggerCommand,
    UnpauseTrigger,
)
from ..contracts.envelope import rfc3339
from ..contracts.identifiers import feature_of
from ..contracts.identity import MONITOR
from ..contracts.measurements import Round, VerdictChanged
from ..contracts.replies import Outcome
from ..messaging.feature_log import FeatureLog
from ..messaging.measurement_store import MeasurementStore
from ..trigger_view import describe_override, trigger_view
from .apply import summary
from .get import find_trigger, table
from .guardrail_table import guardrail_table, newest
from .session import CliSession, OverrideFreeze, Reason, command

app = typer.Typer(help="Act on a release.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The trigger, for example gate.new_checkout.1.")]
PhaseId = Annotated[
    str | None,
    typer.Option("--phase", help="The phase you mean; the current one, as read now, where absent."),
]
Measurements = Annotated[
    bool, typer.Option("--measurements", help="Every measurement that is kept, not only the newest.")
]
#: Entries that stand beside the events of the log.
VERDICT, MEASURED = "guardrail_verdict", "guardrail_measured"


def _action(name: str, model: type[TriggerCommand]) -> None:
    async def act(
        session: CliSession,
        trigger: Id,
        phase: PhaseId = None,
        override_freeze: OverrideFreeze = False,
        reason: Reason = None,
    ) -> None:
        starting: dict[str, Any] = {}
        if issubclass(model, StartingCommand):
            starting["override_freeze"] = override_freeze
        await _act(session, model, trigger, phase, reason, **starting)

    act.__doc__ = model.__doc__
    has = {"phase": issubclass(model, PhaseCommand), "override_freeze": issubclass(model, StartingCommand)}
    whole = inspect.signature(act)
    options = [option for option in whole.parameters.values() if has.get(option.name, True)]
    act.__signature__ = whole.replace(parameters=options)  # type: ignore[attr-defined]
    command(app, name, f"sluiceway trigger {name} gate.new_checkout.1 --reason 'looks good'")(act)


_action("approve", ApprovePhase)
_action("pause", PauseTrigger)
_action("unpause", UnpauseTrigger)
_action("skip", SkipPhase)
_action("abort", AbortTrigger)
_action("rollout", RollOutTrigger)


@command(
    app, "log", "sluiceway trigger log gate.new_checkout.1;  sluiceway trigger log gate.new_checkout.1 --json"
)
async def log(session: CliSession, trigger: Id, measurements: Measurements = False) -> None:
    """Show what happened to a trigger, when, by whom and why, and what its guardrails say."""
    await find_trigger(session, trigger)
    store = MeasurementStore(session.connection, "")
    rounds = await store.rounds(trigger)
    entries = sorted(
        [
            *await _events(session, trigger),
            *(_verdict_entry(change) for change in await store.verdicts(trigger)),
            *(_round_entry(round_) for round_ in (rounds if measurements else newest(rounds))),
        ],
        key=lambda entry: entry["timeMs"],
    )
    rows = [
        (
            rfc3339(e["timeMs"]),
            e["type"],
            e["phaseID"] or "",
            e["actorID"],
            (e["reason"] or "") + describe_override(e.get("overrode", ())),
        )
        for e in entries
        if measurements or e["type"] != MEASURED
    ]
    happened = table(("time", "event", "phase", "by", "reason"), rows)
    session.show(entries, lambda: Group(happened, "", guardrail_table(rounds)) if rounds else happened)


async def _events(session: CliSession, trigger: str) -> list[dict[str, Any]]:
    found = []
    for sequence, event in await FeatureLog(session.connection, "").read_history(feature_of(trigger)):
        about = event.feature.trigger
        if event.phase_id is not None and about and about.id == trigger:
            found.append({"revision": sequence, **event.model_dump(mode="json", exclude={"feature"})})
    return found


def _verdict_entry(change: VerdictChanged) -> dict[str, Any]:
    return {"type": VERDICT, "actorID": MONITOR, **change.to_jsonable()}


def _round_entry(round_: Round) -> dict[str, Any]:
    said = f"{round_.guardrail} {round_.verdict} in {round_.region}: {round_.why}"
    return {"type": MEASURED, "actorID": MONITOR, "reason": said, **round_.to_jsonable()}


async def _act(
    session: CliSession,
    model: type[TriggerCommand],
    trigger: str,
    phase: str | None,
    reason: str | None,
    **fields: Any,
) -> None:
    _, found = await find_trigger(session, trigger)
    fields |= {"actor": session.actor, "reason": reason, "trigger": trigger}
    if issubclass(model, PhaseCommand):
        fields["phase_id"] = phase or found.current_run.phase.id
    reply = await session.send(model(**fields))
    assert reply.feature
    assert reply.feature.trigger
    moved = reply.feature.trigger
    where = summary(reply.feature) if moved.status.is_active else f"{moved.id} {moved.status}"
    text = where if reply.outcome is Outcome.ACCEPTED else reply.message or ""
    session.show(trigger_view(reply.feature, moved).to_jsonable(), text)
