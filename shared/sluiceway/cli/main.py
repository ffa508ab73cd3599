"""`sluiceway`: release pipelines for feature gates and dynamic configs, from the command line."""

import logging
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from ..contracts.replies import Outcome, RefusalCode
from ..errors import Unavailable
from . import (
    alert_commands,
    catalogue_commands,
    feature_commands,
    get,
    guardrail_commands,
    key_commands,
    trigger_commands,
)
from .apply import ApplyOptions, ApplyResult, apply_documents, preview_documents
from .check import check, show_simulation
from .dead_letter_commands import show_dead_letters
from .document_files import read_documents
from .session import (
    ActorInFront,
    AlreadyReported,
    AsJson,
    CliSession,
    CommandFailed,
    NatsUrl,
    OverrideFreeze,
    Reason,
    command,
)
from .watch import watch

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(get.app, name="get")
app.add_typer(feature_commands.gates, name="gate")
app.add_typer(feature_commands.configs, name="config")
app.add_typer(feature_commands.segments, name="segment")
app.add_typer(trigger_commands.app, name="trigger")
app.add_typer(alert_commands.app, name="alert")
app.add_typer(guardrail_commands.app, name="guardrails")
app.add_typer(key_commands.app, name="key")
app.add_typer(catalogue_commands.pipelines, name="pipeline")
app.add_typer(catalogue_commands.regions, name="region")
app.add_typer(catalogue_commands.environments, name="environment")
app.add_typer(catalogue_commands.freezes, name="freeze")

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
    context: typer.Context, nats_url: NatsUrl = None, as_json: AsJson = False, actor: ActorInFront = None
) -> None:
    """Take the common options also in front of the command."""
    context.obj = {"nats_url": nats_url, "as_json": as_json, "actor": actor}


@command(
    app, "apply", "sluiceway apply -f deploy/examples/catalogue;  sluiceway apply -f change.yaml --dry-run"
)
async def apply(
    session: CliSession,
    file: Files,
    dry_run: DryRun = False,
    override_freeze: OverrideFreeze = False,
    reason: Reason = None,
) -> None:
    """Save every document of these files; what is so already stays untouched."""
    documents = read_documents(file)
    wish = ApplyOptions(session.actor, reason, override_freeze)
    work = preview_documents if dry_run else apply_documents
    await _report(session, work(session.connection, documents, wish))


command(app, "check", """sluiceway check new_checkout --region prod-eu --user '{"userID": "u1"}'""")(check)
command(
    app,
    "simulate",
    "sluiceway simulate -f deploy/examples/catalogue/pipelines.yaml;  sluiceway simulate -f change.yaml",
)(show_simulation)
command(app, "watch", "sluiceway watch;  sluiceway watch gate.new_checkout.1 --until-ended")(watch)
command(app, "dead-letters", "sluiceway dead-letters --last 5")(show_dead_letters)


async def _report(session: CliSession, results: AsyncIterator[ApplyResult]) -> None:
    """Print each result as it comes, or all as one JSON list; `CommandFailed` if one was refused."""
    told: list[ApplyResult] = []
    try:
        async for result in results:
            told.append(result)
            if not session.as_json:
                session.console.print(_line(result))
    except Unavailable as error:
        done = [result.to_jsonable() for result in told]
        raise CommandFailed(
            f"{error}; {len(told)} documents were applied before",
            {"code": RefusalCode.UNAVAILABLE, "message": str(error), "applied": done},
        ) from error
    if session.as_json:
        session.show([result.to_jsonable() for result in told], "")
    refused = [result for result in told if result.outcome is Outcome.REFUSED]
    if refused:
        raise AlreadyReported(f"{len(refused)} of {len(told)} documents refused, first {refused[0].line()}")


def _line(result: ApplyResult) -> str:
    return f"{result.line()}\n  {result.notice}" if result.notice else result.line()


def main() -> None:
    """Run the command line. What its libraries log stays away from the terminal."""
    logging.getLogger("sluiceway").addHandler(logging.NullHandler())
    app()


if __name__ == "__main__":
    main()
