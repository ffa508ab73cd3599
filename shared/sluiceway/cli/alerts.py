"""`sluiceway alert …`: say that something is firing, as an alerting system would."""

from typing import Annotated

import typer
from nats.errors import Error as NatsError

from ..contracts import subjects
from ..contracts.alerts import Alert, AlertStatus
from ..errors import Unavailable
from .session import Failed, Session, checked_name, command

app = typer.Typer(help="Publish an alert.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name of the alert.")]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", help="KEY=VALUE; gate, dynamic_config, pipeline and region say what it is about."
    ),
]
SourceName = Annotated[str, typer.Option("--source", help="Who says it.")]


@command(
    app, "fire", "sluiceway alert fire CheckoutErrors --label gate=new_checkout --label region=prod-us-west"
)
async def fire(session: Session, name: Name, label: Labels = None, source: SourceName = "cli") -> None:
    """Say that an alert is firing: the monitor rolls back every release that it is about."""
    await _publish(session, name, AlertStatus.FIRING, label or [], source)


@command(app, "resolve", "sluiceway alert resolve CheckoutErrors --label gate=new_checkout")
async def resolve(session: Session, name: Name, label: Labels = None, source: SourceName = "cli") -> None:
    """Say that an alert no longer fires; it brings nothing back."""
    await _publish(session, name, AlertStatus.RESOLVED, label or [], source)


async def _publish(session: Session, name: str, status: AlertStatus, labels: list[str], source: str) -> None:
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
        raise Failed(f"--label {text!r}: write KEY=VALUE, for example gate=new_checkout")
    return key, value
