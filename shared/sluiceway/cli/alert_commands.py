"""`sluiceway alert …`: publish an alert, as an alerting system does, and list the newest alerts."""

from typing import Annotated

import typer

from ..contracts import subjects
from ..contracts.alerts import Alert, AlertStatus, AnsweredAlert
from ..contracts.envelope import rfc3339
from ..errors import Unavailable
from ..messaging.measurement_store import MeasurementStore
from ..messaging.publishing import StreamPublisher
from .get import table
from .session import CliSession, CommandFailed, command, validated_name

app = typer.Typer(help="Publish alerts and list them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name of the alert.")]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        help="KEY=VALUE. gate, dynamic_config, pipeline and region select releases. Can be repeated.",
    ),
]
Last = Annotated[int, typer.Option("--last", min=1, help="How many alerts.")]
SourceName = Annotated[str, typer.Option("--source", help="The name of the alerting system.")]


@command(
    app, "fire", "sluiceway alert fire CheckoutErrors --label gate=new_checkout --label region=prod-us-west"
)
async def fire(session: CliSession, name: Name, label: Labels = None, source: SourceName = "cli") -> None:
    """Publish a firing alert. The monitor rolls back every release that its labels match."""
    await _publish(session, name, AlertStatus.FIRING, label or [], source)


@command(app, "resolve", "sluiceway alert resolve CheckoutErrors --label gate=new_checkout")
async def resolve(session: CliSession, name: Name, label: Labels = None, source: SourceName = "cli") -> None:
    """Publish a resolved alert. Releases that were rolled back stay rolled back."""
    await _publish(session, name, AlertStatus.RESOLVED, label or [], source)


@command(app, "list", "sluiceway alert list;  sluiceway alert list --last 100 --json")
async def show(session: CliSession, last: Last = 20) -> None:
    """Show the newest alerts and what the monitor did about each."""
    answered = (await MeasurementStore(session.connection, "").answered_alerts())[-last:]
    rows = [
        (
            rfc3339(alert.time_ms),
            alert.alert.name,
            str(alert.alert.status),
            alert.source,
            ", ".join(f"{key}={value}" for key, value in sorted(alert.alert.labels.items())),
            _result(alert),
        )
        for alert in answered
    ]
    columns = ("time", "alert", "status", "source", "labels", "result")
    session.print_result([alert.to_jsonable() for alert in answered], lambda: table(columns, rows))


def _result(answered: AnsweredAlert) -> str:
    """Return the releases that an alert was about, or why nothing was done."""
    if answered.triggers:
        others = f" and {answered.unlisted} others" if answered.unlisted else ""
        return ", ".join(answered.triggers) + others
    triggers = answered.later_triggers or answered.triggers_out_of_scope
    named = f" {', '.join(triggers)}" if triggers else ""
    left_out = f" ({answered.left_out} alerts left out)" if answered.left_out else ""
    return f"{answered.outcome}{named}{left_out}"


async def _publish(
    session: CliSession, name: str, status: AlertStatus, labels: list[str], source: str
) -> None:
    alert = Alert(name=name, status=status, labels=dict(_label(text) for text in labels))
    subject = subjects.alert(validated_name("source", source))
    try:
        sequence = await StreamPublisher(session.connection, subjects.ALERTS_STREAM).publish(
            subject, alert.to_json()
        )
    except Unavailable as error:
        raise Unavailable("could not store the alert; is a scheduler running?") from error
    described = f"with labels {', '.join(labels)}" if labels else "without labels, so it matches no release"
    session.print_result(
        {**alert.to_jsonable(), "sequence": sequence},
        f"{name} is {status}, stored as message {sequence} {described}",
    )


def _label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (separator and key and value):
        raise CommandFailed(f"invalid --label {text!r}: use KEY=VALUE, for example gate=new_checkout")
    return key, value
