"""`sluiceway alert …`: say that something is firing, as an alerting system would."""

from typing import Annotated

import typer
from nats.errors import Error as NatsError

from ..contracts import subjects
from ..contracts.alerts import Alert, AlertStatus
from ..contracts.envelope import rfc3339
from ..errors import Unavailable
from ..messaging.measurement_store import MeasurementStore
from .get import table
from .session import CliSession, CommandFailed, checked_name, command

app = typer.Typer(help="Publish an alert.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name of the alert.")]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", help="KEY=VALUE; gate, dynamic_config, pipeline and region say what it is about."
    ),
]
Last = Annotated[int, typer.Option("--last", min=1, help="How many.")]
SourceName = Annotated[str, typer.Option("--source", help="Who says it.")]


@command(
    app, "fire", "sluiceway alert fire CheckoutErrors --label gate=new_checkout --label region=prod-us-west"
)
async def fire(session: CliSession, name: Name, label: Labels = None, source: SourceName = "cli") -> None:
    """Say that an alert is firing: the monitor rolls back every release that it is about."""
    await _publish(session, name, AlertStatus.FIRING, label or [], source)


@command(app, "resolve", "sluiceway alert resolve CheckoutErrors --label gate=new_checkout")
async def resolve(session: CliSession, name: Name, label: Labels = None, source: SourceName = "cli") -> None:
    """Say that an alert no longer fires; it brings nothing back."""
    await _publish(session, name, AlertStatus.RESOLVED, label or [], source)


@command(app, "list", "sluiceway alert list;  sluiceway alert list --last 100 --json")
async def show(session: CliSession, last: Last = 20) -> None:
    """Show the newest alerts, and what became of each: also of those that are about nothing."""
    answered = (await MeasurementStore(session.connection, "").answered_alerts())[-last:]
    rows = [
        (
            rfc3339(one.time_ms),
            one.alert.name,
            str(one.alert.status),
            one.source,
            ", ".join(f"{key}={value}" for key, value in sorted(one.alert.labels.items())),
            ", ".join(one.triggers) or str(one.outcome),
        )
        for one in answered
    ]
    columns = ("time", "alert", "status", "source", "labels", "what became of it")
    session.show([one.to_jsonable() for one in answered], lambda: table(columns, rows))


async def _publish(
    session: CliSession, name: str, status: AlertStatus, labels: list[str], source: str
) -> None:
    alert = Alert(name=name, status=status, labels=dict(_label(text) for text in labels))
    subject = subjects.alert(checked_name("source", source))
    try:
        ack = await session.connection.js.publish(subject, alert.to_json())
    except (NatsError, TimeoutError) as error:
        raise Unavailable("the alert could not be stored; is a scheduler running?") from error
    about = ", ".join(labels) or "nothing: it has no label"
    session.show(
        {**alert.to_jsonable(), "sequence": ack.seq},
        f"{name} is {status}, stored as {ack.seq}, about {about}",
    )


def _label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (separator and key and value):
        raise CommandFailed(f"--label {text!r}: write KEY=VALUE, for example gate=new_checkout")
    return key, value
