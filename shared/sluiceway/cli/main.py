"""`sluiceway`: release pipelines for feature gates and dynamic configs, from the command line."""

from typing import Annotated

import typer

from . import alerts, catalogue, features, get, reading, triggers
from .apply import Applied, rehearse
from .apply import apply as apply_documents
from .check import check, show_simulation
from .documents import read
from .letters import show_dead_letters
from .session import Actor, AsJson, Failed, NatsUrl, Reason, Session, command
from .watch import watch

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(get.app, name="get")
app.add_typer(features.gates, name="gate")
app.add_typer(features.configs, name="config")
app.add_typer(triggers.app, name="trigger")
app.add_typer(alerts.app, name="alert")
app.add_typer(catalogue.pipelines, name="pipeline")
app.add_typer(catalogue.regions, name="region")
app.add_typer(catalogue.environments, name="environment")

Files = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", help="A YAML file or a folder of them; - for standard input. May be repeated."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would change, and which triggers would start.")
]


@app.callback()
def before(
    context: typer.Context, nats_url: NatsUrl = None, as_json: AsJson = False, actor: Actor = None
) -> None:
    """Take the common options also in front of the command."""
    context.obj = {"nats_url": nats_url, "as_json": as_json, "actor": actor}


@command(
    app, "apply", "sluiceway apply -f deploy/examples/catalogue;  sluiceway apply -f change.yaml --dry-run"
)
async def apply(session: Session, file: Files, dry_run: DryRun = False, reason: Reason = None) -> None:
    """Save every document of these files; what is so already stays untouched."""
    documents = read(file)
    if dry_run:
        now, usage = await reading.catalogue(session.connection), await reading.usage(session.connection)
        results = await rehearse(session.connection, documents, now, usage, session.actor)
    else:
        results = await apply_documents(session.connection, documents, session.actor, reason)
    session.show([result._asdict() for result in results], "\n".join(map(_line, results)))
    refused = [result for result in results if result.outcome == "refused"]
    if refused:
        raise Failed(f"{len(refused)} of {len(results)} documents refused: {refused[0].line()}")


command(app, "check", """sluiceway check new_checkout --region prod-eu --user '{"userID": "u1"}'""")(check)
command(app, "simulate", "sluiceway simulate -f deploy/examples/catalogue/pipelines.yaml")(show_simulation)
command(app, "watch", "sluiceway watch;  sluiceway watch gate.new_checkout.1 --until-ended")(watch)
command(app, "dead-letters", "sluiceway dead-letters --last 5")(show_dead_letters)


def _line(result: Applied) -> str:
    return f"{result.line()}\n  {result.notice}" if result.notice else result.line()


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
