"""One invocation of the command line: its options, connection, output and errors."""

import asyncio
import contextlib
import functools
import getpass
import inspect
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import typer
from nats.errors import Error as NatsError
from pydantic import ValidationError

from ..contracts.commands import Command
from ..contracts.identifiers import NAME_PATTERN
from ..contracts.replies import Outcome, Reply
from ..contracts.validation_errors import describe_errors
from ..errors import SluicewayError
from ..messaging.command_client import CommandClient
from ..messaging.connection import Connection, connected
from ..messaging.feature_edits import FeatureEdit, FeatureReading, send_edit
from ..settings import BrokerSettings, read_settings
from .output import Output

EXIT_REFUSED = 1
EXIT_INTERRUPTED = 130
#: After this time the user is told that a command waits.
NOTED_AFTER_SECONDS = 2.0
#: What nats-server writes if the credentials do not allow publishing or subscribing.
PERMISSIONS_VIOLATION = "permissions violation for"


class CommandFailed(SluicewayError):
    """The command failed; the message is the one line that the user sees."""

    def __init__(self, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.details = details


class FailedAfterOutput(CommandFailed):
    """The command failed after it printed its output, which has the details; only the message follows."""


class CommonOptions(NamedTuple):
    """The options that are given before the command."""

    nats_url: str | None = None
    as_json: bool = False
    actor: str | None = None
    #: Other settings of the connection, by name.
    connection: Mapping[str, str] = {}


@dataclass
class CliSession:
    """The settings, the connection and the output that a command uses."""

    settings: BrokerSettings
    as_json: bool
    actor: str
    output: Output = field(default_factory=Output)
    _connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        assert self._connection
        return self._connection

    async def send(self, command: Command) -> Reply:
        """Send a command and return its reply; `CommandFailed` if it is refused."""
        with self.noting_a_wait():
            return _accepted(await CommandClient(self.connection).send(command))

    async def send_edit(self, edit: FeatureEdit, read: FeatureReading) -> Reply:
        """Send an edit of a feature, as the module `feature_edits` does; `CommandFailed` if it is refused."""
        with self.noting_a_wait():
            return _accepted(await send_edit(CommandClient(self.connection).send, edit, read))

    def print_result(self, document: Any, text: str | Callable[[], Any]) -> None:
        """Print `document` with `--json`, else the text (or the Rich object that `text` returns)."""
        if self.as_json:
            self.output.print_json(document)
        else:
            self.output.print(text if isinstance(text, str) else text())

    def warn(self, text: str) -> None:
        """Print a warning on standard error."""
        sys.stderr.write(f"sluiceway: {' '.join(text.split())}\n")

    @contextlib.contextmanager
    def noting_a_wait(self) -> Iterator[None]:
        """Tell the user if the block takes long: a cluster of brokers that elects a leader takes seconds."""
        note = asyncio.get_running_loop().call_later(
            NOTED_AFTER_SECONDS, self.warn, "waiting for the broker …"
        )
        try:
            yield
        finally:
            note.cancel()

    async def run(
        self, work: Callable[..., Awaitable[None]], arguments: dict[str, Any], *, needs_broker: bool
    ) -> None:
        """Run a command, with a connection if it needs one."""
        async with self.open_connection() if needs_broker else contextlib.nullcontext():
            await work(self, **arguments)

    @contextlib.asynccontextmanager
    async def open_connection(self) -> AsyncIterator[None]:
        """Keep a connection open while the block runs.

        `Unavailable` if no broker answers within seconds; `CommandFailed` if the broker denies an
        operation of the block, which would otherwise time out.
        """
        task, denied = asyncio.current_task(), list[str]()
        assert task

        async def on_error(error: Exception) -> None:
            """Cancel the command if the broker denies something. The driver prints no error itself."""
            if PERMISSIONS_VIOLATION in str(error):
                denied.append(str(error).partition(PERMISSIONS_VIOLATION)[2].strip())
                task.cancel()

        try:
            async with connected(
                self.settings, "cli", wait_for_broker=False, error_cb=on_error
            ) as connection:
                self._connection = connection
                yield
        except asyncio.CancelledError:
            if not denied or task.uncancel():
                raise
            raise CommandFailed(
                f"the broker does not allow these credentials to do this ({denied[0]}); "
                "use other credentials, or the console"
            ) from None


# Only the option before the command reads the environment, because an option that is given, before the
# command or after it, takes precedence over the environment.
_NATS_URL_HELP = "URL of the broker. Default: SLUICEWAY_NATS_URL, else nats://127.0.0.1:4222."
_ACTOR_HELP = "Name of the actor, for the audit log. Default: SLUICEWAY_ACTOR, else the OS user."
NatsUrl = Annotated[str | None, typer.Option("--nats-url", help=_NATS_URL_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Actor = Annotated[str | None, typer.Option("--actor", help=_ACTOR_HELP)]
ActorInFront = Annotated[
    str | None, typer.Option("--actor", envvar="SLUICEWAY_ACTOR", show_envvar=False, help=_ACTOR_HELP)
]
OverrideFreeze = Annotated[
    bool,
    typer.Option("--override-freeze", help="Start the phase even during a freeze. Requires --reason."),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Reason, for the audit log.")]


def _accepted(reply: Reply) -> Reply:
    """Return a reply; `CommandFailed` if it is a refusal."""
    if reply.outcome is Outcome.REFUSED and reply.refusal:
        raise CommandFailed(reply.refusal.message, reply.refusal.to_jsonable())
    return reply


def command(
    app: typer.Typer, name: str, examples: str, *, needs_broker: bool = True
) -> Callable[[Callable[..., Awaitable[None]]], Any]:
    """Register an async function that takes a `CliSession` as a command, and add the common options.

    Without `needs_broker` the function opens a connection itself if it needs one. A function with a parameter
    `actor` of its own gets what follows `--actor`, which then does not name the sender.
    """

    def register(work: Callable[..., Awaitable[None]]) -> Any:
        own = inspect.signature(work).parameters
        has_own_actor = "actor" in own

        @functools.wraps(work)
        def run(
            context: typer.Context, nats_url: str | None, as_json: bool, actor: str | None, **arguments: Any
        ) -> None:
            if has_own_actor:
                arguments["actor"], actor = actor, None
            in_front = context.find_root().ensure_object(CommonOptions)
            as_json = as_json or in_front.as_json
            with _errors_as_exit_code(as_json):
                settings = _settings(nats_url or in_front.nats_url, in_front.connection)
                session = CliSession(settings, as_json, actor or in_front.actor or _os_user())
                asyncio.run(session.run(work, arguments, needs_broker=needs_broker))

        parameters = [parameter for name, parameter in own.items() if name not in ("session", "actor")]
        common = [
            inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
            inspect.Parameter("nats_url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=NatsUrl),
            inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
            inspect.Parameter(
                "actor",
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=own["actor"].annotation if has_own_actor else Actor,
            ),
        ]
        run.__signature__ = inspect.Signature([*parameters, *common])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in (*parameters, *common)}
        app.command(name, epilog=f"Examples:  {examples}")(run)
        return work

    return register


def validated_name(noun: str, name: str) -> str:
    """Return `name`; `CommandFailed` if it is invalid. A dot or a space would break a subject."""
    if re.fullmatch(NAME_PATTERN, name):
        return name
    raise CommandFailed(f"invalid {noun} name {name!r}: use letters, digits, - and _ (max 100)")


def _settings(nats_url: str | None, others: Mapping[str, str]) -> BrokerSettings:
    """Return the settings in the environment, with those given instead; `Misconfigured` if one is invalid."""
    return read_settings(BrokerSettings, **({"nats_url": nats_url} if nats_url else {}), **others)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a container's user may have no name
        return "unknown"


@contextlib.contextmanager
def _errors_as_exit_code(as_json: bool) -> Iterator[None]:
    """Turn an error into one line on stderr, a JSON object on stdout with `--json`, and an exit code."""
    try:
        yield
    except (SluicewayError, NatsError, ValidationError, TimeoutError) as error:
        text = describe_errors(error) if isinstance(error, ValidationError) else str(error)
        line = " ".join(text.split()) or type(error).__name__
        if as_json and not isinstance(error, FailedAfterOutput):
            refusal = getattr(error, "details", None) or {"message": line}
            Output().print_json({"error": refusal})
        sys.stderr.write(f"sluiceway: {line}\n")
        raise typer.Exit(EXIT_REFUSED) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
