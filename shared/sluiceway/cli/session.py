"""One call of the command line: its connection, its output, its errors."""

import asyncio
import contextlib
import functools
import getpass
import inspect
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from nats.errors import Error as NatsError
from rich.console import Console

from ..contracts.commands import Command
from ..contracts.replies import Outcome, Reply
from ..errors import SluicewayError
from ..messaging.commanding import Commander
from ..messaging.connection import Connection, connected
from ..settings import BrokerSettings

EXIT_REFUSED = 1
EXIT_INTERRUPTED = 130
PIPED_WIDTH = 240


class Failed(SluicewayError):
    """The call failed; the text is the one line that its user sees."""

    def __init__(self, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.details = details


@dataclass
class Session:
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
        """Send a command; `Failed` where it is refused."""
        reply = await Commander(self.connection).send(command)
        if reply.outcome is Outcome.REFUSED and reply.refusal:
            raise Failed(reply.refusal.message, reply.refusal.to_jsonable())
        return reply

    def show(self, document: Any, text: str | Callable[[], Any]) -> None:
        """Print `document` as JSON, or the text (or a Rich object) for people."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        else:
            self.console.print(text if isinstance(text, str) else text(), markup=not isinstance(text, str))

    async def run(self, work: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        """Run a command with a connection."""
        async with connected(self.settings, "cli", patient=False, error_cb=_quiet) as connection:
            self._connection = connection
            await work(self, **arguments)


NatsUrl = Annotated[
    str | None,
    typer.Option(
        "--nats-url", envvar="SLUICEWAY_NATS_URL", help="The broker.", show_default="nats://127.0.0.1:4222"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Actor = Annotated[
    str | None,
    typer.Option(
        "--actor", envvar="SLUICEWAY_ACTOR", help="Who acts, for the log.", show_default="the OS user"
    ),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the log.")]


def _console() -> Console:
    """Return a console that breaks no line where nobody looks at a screen."""
    console = Console(soft_wrap=True, highlight=False)
    return console if console.is_terminal else Console(width=PIPED_WIDTH, soft_wrap=True, highlight=False)


def command(app: typer.Typer, name: str, examples: str) -> Callable[[Callable[..., Awaitable[None]]], Any]:
    """Register an async function of a `Session` as a command, with the options that all commands have."""

    def register(work: Callable[..., Awaitable[None]]) -> Any:
        @functools.wraps(work)
        def run(
            context: typer.Context, nats_url: str | None, as_json: bool, actor: str | None, **arguments: Any
        ) -> None:
            before = context.find_root().ensure_object(dict)
            settings = BrokerSettings()
            if url := nats_url or before.get("nats_url"):
                settings = settings.model_copy(update={"nats_url": url})
            session = Session(
                settings,
                as_json or bool(before.get("as_json")),
                actor or before.get("actor") or getpass.getuser(),
            )
            _finish(session, session.run(work, arguments))

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


def _finish(session: Session, work: Any) -> None:
    try:
        asyncio.run(work)
    except (SluicewayError, NatsError, TimeoutError) as error:
        details = getattr(error, "details", None)
        if session.as_json:
            refusal = details or {"message": str(error) or type(error).__name__}
            sys.stdout.write(json.dumps({"error": refusal}, ensure_ascii=False) + "\n")
        sys.stderr.write(f"sluiceway: {str(error) or type(error).__name__}\n")
        raise typer.Exit(EXIT_REFUSED) from None
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        raise typer.Exit(EXIT_INTERRUPTED) from None


async def _quiet(error: Exception) -> None:
    """Keep the driver's own notices off the terminal; what fails is told once, by the call that failed."""
