"""One call of the command line: its connection, its output, its errors."""

import asyncio
import contextlib
import functools
import getpass
import inspect
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from nats.errors import Error as NatsError
from pydantic import ValidationError
from rich.console import Console

from ..contracts.commands import Command
from ..contracts.identifiers import NAME_PATTERN
from ..contracts.replies import Outcome, Reply
from ..contracts.validation_errors import describe_errors
from ..errors import SluicewayError
from ..messaging.command_client import CommandClient
from ..messaging.connection import Connection, connected
from ..settings import BrokerSettings

EXIT_REFUSED = 1
EXIT_INTERRUPTED = 130
PIPED_WIDTH = 240
#: How nats-server says that somebody may not publish or subscribe.
DENIED = "permissions violation for"


class CommandFailed(SluicewayError):
    """The call failed; the text is the one line that its user sees."""

    def __init__(self, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.details = details


class AlreadyReported(CommandFailed):
    """The call failed, and what it has printed says so already; only the one line is missing."""


@dataclass
class CliSession:
    """What every command needs."""

    settings: BrokerSettings
    as_json: bool
    actor: str
    console: Console = field(default_factory=lambda: _console())
    _connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        assert self._connection
        return self._connection

    async def send(self, command: Command) -> Reply:
        """Send a command; `CommandFailed` where it is refused."""
        reply = await CommandClient(self.connection).send(command)
        if reply.outcome is Outcome.REFUSED and reply.refusal:
            raise CommandFailed(reply.refusal.message, reply.refusal.to_jsonable())
        return reply

    def show(self, document: Any, text: str | Callable[[], Any]) -> None:
        """Print `document` as JSON, or the text (or a Rich object) for people."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        else:
            self.console.print(text if isinstance(text, str) else text())

    def note(self, text: str) -> None:
        """Say something beside the answer, on standard error."""
        sys.stderr.write(f"sluiceway: {' '.join(text.split())}\n")

    async def run(
        self, work: Callable[..., Awaitable[None]], arguments: dict[str, Any], *, needs_broker: bool
    ) -> None:
        """Run a command, with a connection where it needs one."""
        async with self.connecting() if needs_broker else contextlib.nullcontext():
            await work(self, **arguments)

    @contextlib.asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Hold a connection while the block runs.

        `Unavailable` if no broker answers soon; `CommandFailed` if these credentials may not do what
        the block wants, which would otherwise time out.
        """
        task, denied = asyncio.current_task(), list[str]()
        assert task

        async def notice(error: Exception) -> None:
            """Keep the driver's own notices off the terminal; what fails is told once."""
            if DENIED in str(error):
                denied.append(str(error).partition(DENIED)[2].strip())
                task.cancel()

        try:
            async with connected(self.settings, "cli", wait_for_broker=False, error_cb=notice) as connection:
                self._connection = connection
                yield
        except asyncio.CancelledError:
            if not denied or task.uncancel():
                raise
            raise CommandFailed(
                f"the broker does not let these credentials do this ({denied[0]}); the console may show it"
            ) from None


# Only the options in front of the command look at the environment: one that stands anywhere in the
# call, in front or behind, goes before it.
_BROKER = "The broker; else SLUICEWAY_NATS_URL, else nats://127.0.0.1:4222."
_WHO = "Who acts, for the log; else SLUICEWAY_ACTOR, else the OS user."
NatsUrl = Annotated[str | None, typer.Option("--nats-url", help=_BROKER)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Actor = Annotated[str | None, typer.Option("--actor", help=_WHO)]
ActorInFront = Annotated[
    str | None, typer.Option("--actor", envvar="SLUICEWAY_ACTOR", show_envvar=False, help=_WHO)
]
OverrideFreeze = Annotated[
    bool,
    typer.Option("--override-freeze", help="Start the phase also inside a freeze; needs a --reason."),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the log.")]


def _console() -> Console:
    """Return a console that shows text as it is, and breaks no line where nobody looks at a screen."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(width=width, soft_wrap=True, highlight=False, markup=False, emoji=False)


def command(
    app: typer.Typer, name: str, examples: str, *, needs_broker: bool = True
) -> Callable[[Callable[..., Awaitable[None]]], Any]:
    """Register an async function of a `CliSession` as a command, with the options that all commands have.

    One that needs no broker connects by itself, where it wants to.
    """

    def register(work: Callable[..., Awaitable[None]]) -> Any:
        @functools.wraps(work)
        def run(
            context: typer.Context, nats_url: str | None, as_json: bool, actor: str | None, **arguments: Any
        ) -> None:
            before = context.find_root().ensure_object(dict)
            as_json = as_json or bool(before.get("as_json"))
            with _reported_errors(as_json):
                settings = _settings(nats_url or before.get("nats_url"))
                session = CliSession(settings, as_json, actor or before.get("actor") or _os_user())
                asyncio.run(session.run(work, arguments, needs_broker=needs_broker))

        parameters = [p for p in inspect.signature(work).parameters.values() if p.name != "session"]
        common = [
            inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context),
            inspect.Parameter("nats_url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=NatsUrl),
            inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
            inspect.Parameter("actor", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Actor),
        ]
        run.__signature__ = inspect.Signature([*parameters, *common])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in (*parameters, *common)}
        app.command(name, epilog=f"Examples:  {examples}")(run)
        return work

    return register


def checked_name(noun: str, name: str) -> str:
    """Return `name`; `CommandFailed` if it is invalid. A dot or a space would break a subject."""
    if re.fullmatch(NAME_PATTERN, name):
        return name
    raise CommandFailed(f"{name!r} is no name of a {noun}; use letters, digits, - and _, at most 100")


def _settings(nats_url: str | None) -> BrokerSettings:
    """Return the settings of the environment with the URL of the call; `CommandFailed` if one is invalid."""
    try:
        settings = BrokerSettings()
    except ValidationError as error:
        raise CommandFailed(f"a setting in SLUICEWAY_… is wrong: {describe_errors(error)}") from error
    for file in (settings.nats_creds, settings.nats_ca):
        if file and not file.is_file():
            raise CommandFailed(
                f"there is no file {file}, which SLUICEWAY_NATS_CREDS or SLUICEWAY_NATS_CA names"
            )
    return settings.model_copy(update={"nats_url": nats_url}) if nats_url else settings


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a container's user need not have a name
        return "unknown"


@contextlib.contextmanager
def _reported_errors(as_json: bool) -> Iterator[None]:
    """Turn what fails into one line on stderr, the refusal as JSON where that is wanted, and an exit code."""
    try:
        yield
    except (SluicewayError, NatsError, ValidationError, TimeoutError) as error:
        text = describe_errors(error) if isinstance(error, ValidationError) else str(error)
        line = " ".join(text.split()) or type(error).__name__
        if as_json and not isinstance(error, AlreadyReported):
            refusal = getattr(error, "details", None) or {"message": line}
            sys.stdout.write(json.dumps({"error": refusal}, ensure_ascii=False) + "\n")
        sys.stderr.write(f"sluiceway: {line}\n")
        raise typer.Exit(EXIT_REFUSED) from None
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None
