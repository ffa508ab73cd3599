"""Manage release pipelines for feature gates and dynamic configs."""

import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer

from ..contracts.replies import Outcome, RefusalCode
from ..errors import Unavailable
from . import (
    alert_commands,
    audit_commands,
    catalogue_commands,
    feature_commands,
    get,
    guardrail_commands,
    key_commands,
    trigger_commands,
)
from .apply import ApplyOptions, ApplyResult, apply_documents, preview_documents
from .broker_config import write_broker_config
from .check import check, show_simulation
from .current_state import read_catalogue
from .dead_letter_commands import show_dead_letters
from .document_files import read_file_documents
from .output import run_app
from .region_commands import provision_region
from .session import (
    ActorInFront,
    AsJson,
    CliSession,
    CommandFailed,
    CommonOptions,
    FailedAfterOutput,
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
app.add_typer(audit_commands.app, name="audit")
app.add_typer(catalogue_commands.pipelines, name="pipeline")
app.add_typer(catalogue_commands.regions, name="region")
app.add_typer(catalogue_commands.environments, name="environment")
app.add_typer(catalogue_commands.freezes, name="freeze")
app.add_typer(catalogue_commands.alert_sources, name="alert-source")

Files = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", help="A YAML file, a folder of YAML files, or - for standard input. Can be repeated."
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Show what would change and which triggers would start, without saving anything."
    ),
]
IfEmpty = Annotated[
    bool,
    typer.Option(
        "--if-empty", help="Save nothing if there are regions already: for the first start of a system."
    ),
]


def _connection_option(text: str) -> Any:
    """Return an option for one of the settings `SLUICEWAY_NATS_…`, which holds if it is not given."""
    return typer.Option(help=f"{text} Default: the setting SLUICEWAY_NATS_….")


def _file(content: str) -> Any:
    return _connection_option(f"File with {content}.")


@app.callback()
def common_options(
    context: typer.Context,
    nats_url: NatsUrl = None,
    as_json: AsJson = False,
    actor: ActorInFront = None,
    nats_creds: Annotated[str | None, _file("credentials")] = None,
    nats_nkey: Annotated[str | None, _file("the seed of an nkey")] = None,
    nats_user: Annotated[str | None, _connection_option("User at the broker.")] = None,
    nats_password_file: Annotated[str | None, _file("the user's password")] = None,
    nats_ca: Annotated[str | None, _file("the broker's certificate authority. Requires TLS")] = None,
    nats_cert: Annotated[str | None, _file("the certificate to show to the broker")] = None,
    nats_key: Annotated[str | None, _file("the key of that certificate")] = None,
    nats_tls_first: Annotated[
        bool, _connection_option("Begin with TLS, before the broker's greeting.")
    ] = False,
) -> None:
    """Accept the common options before the command too, and the rest of how to connect."""
    connection = {
        "nats_creds": nats_creds,
        "nats_nkey": nats_nkey,
        "nats_user": nats_user,
        "nats_password_file": nats_password_file,
        "nats_ca": nats_ca,
        "nats_cert": nats_cert,
        "nats_key": nats_key,
        "nats_tls_first": "true" if nats_tls_first else None,
    }
    given = {name: value for name, value in connection.items() if value}
    context.obj = CommonOptions(nats_url, as_json, actor, given)


@command(
    app, "apply", "sluiceway apply -f deploy/examples/catalogue;  sluiceway apply -f change.yaml --dry-run"
)
async def apply(
    session: CliSession,
    file: Files,
    dry_run: DryRun = False,
    if_empty: IfEmpty = False,
    override_freeze: OverrideFreeze = False,
    reason: Reason = None,
) -> None:
    """Save every document in the files. Documents that have not changed stay as they are."""
    if if_empty and (regions := (await read_catalogue(session.connection)).regions):
        session.print_result([], f"nothing was saved, since there are {len(regions)} regions already")
        return
    documents = read_file_documents(file)
    options = ApplyOptions(session.actor, reason, override_freeze)
    run = preview_documents if dry_run else apply_documents
    await _print_results(session, run(session.connection, documents, options))


command(app, "check", """sluiceway check new_checkout --region prod-eu --user '{"userID": "u1"}'""")(check)
command(
    app,
    "simulate",
    "sluiceway simulate -f deploy/examples/catalogue/pipelines.yaml;  sluiceway simulate -f change.yaml",
)(show_simulation)
command(app, "watch", "sluiceway watch;  sluiceway watch gate.new_checkout.1 --until-ended")(watch)
command(
    app,
    "broker-config",
    "sluiceway broker-config -o laptop.conf;  "
    "sluiceway broker-config -f deploy/examples/catalogue --key 3f9a11c2 --alert-source pager --tls "
    "--secrets secrets --host nats.example.com -o single-host.conf;  "
    "sluiceway broker-config -f deploy/examples/catalogue --tls --secrets secrets --cluster nats-1 "
    "--cluster nats-2 --cluster nats-3 -o cluster.conf;  "
    "sluiceway broker-config --tls --leaf prod-eu --hub tls://nats-1 --secrets leaf -o leaf.conf",
    needs_broker=False,
)(write_broker_config)
command(
    catalogue_commands.regions,
    "provision",
    "sluiceway region provision prod-eu;  sluiceway region provision prod-eu --check",
)(provision_region)
command(app, "dead-letters", "sluiceway dead-letters --last 5")(show_dead_letters)


async def _print_results(session: CliSession, results: AsyncIterator[ApplyResult]) -> None:
    """Print each result when it arrives, or all as one JSON list; `CommandFailed` if one was refused."""
    printed: list[ApplyResult] = []
    try:
        while True:
            with session.noting_a_wait():
                result = await anext(results, None)
            if result is None:
                break
            printed.append(result)
            if not session.as_json:
                session.output.print(_line(result))
    except Unavailable as error:
        applied = [result.to_jsonable() for result in printed]
        raise CommandFailed(
            f"{error}; {len(printed)} documents had been applied before",
            {"code": RefusalCode.UNAVAILABLE, "message": str(error), "applied": applied},
        ) from error
    if session.as_json:
        session.print_result([result.to_jsonable() for result in printed], "")
    refused = [result for result in printed if result.outcome is Outcome.REFUSED]
    if refused:
        raise FailedAfterOutput(
            f"{len(refused)} of {len(printed)} documents refused, first {refused[0].line()}"
        )


def _line(result: ApplyResult) -> str:
    return f"{result.line()}\n  {result.notice}" if result.notice else result.line()


def main() -> None:
    """Run the command line, without log lines on the terminal."""
    logging.getLogger("sluiceway").addHandler(logging.NullHandler())
    run_app(app)


if __name__ == "__main__":
    main()
