"""`python -m services.local up|demo`."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sluiceway.cli.output import run_app
from sluiceway.errors import Misconfigured, SluicewayError
from sluiceway.telemetry.logging import set_up_logging

from .demo import demo
from .system import Options
from .up import CATALOGUE, up

app = typer.Typer(
    help="Run all of Sluiceway on this machine.", no_args_is_help=True, pretty_exceptions_enable=False
)

NatsUrl = Annotated[
    str | None, typer.Option("--nats-url", help="Use this broker instead of an embedded one.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as a JSON object on the last line.")]
Picture = Annotated[
    Path | None, typer.Option("--picture", help="Draw what happened into this SVG file (needs matplotlib).")
]


@app.command(
    "up", epilog='Examples:  make up;  make up ARGS="--data-dir /tmp/x --scale scheduler=2 --no-restart"'
)
def up_command(
    data_dir: Annotated[Path, typer.Option("--data-dir", help="The folder for all state and logs.")] = Path(
        "data"
    ),
    nats_url: NatsUrl = None,
    restart: Annotated[
        bool, typer.Option("--restart/--no-restart", help="Restart processes that end.")
    ] = True,
    scale: Annotated[
        list[str] | None, typer.Option("--scale", help="NAME=COUNT replicas of a process; can be repeated.")
    ] = None,
    catalogue: Annotated[
        Path, typer.Option("--catalogue", help="The file or folder to apply at the first start.")
    ] = CATALOGUE,
    no_catalogue: Annotated[
        bool, typer.Option("--no-catalogue", help="Start with an empty catalogue.")
    ] = False,
    port: Annotated[
        int, typer.Option("--port", help="The port of the embedded broker; 0 for any free port.")
    ] = 0,
) -> None:
    """Start everything and keep it running until Ctrl-C."""
    with _errors_on_one_line():
        options = Options(data_dir, nats_url, port, restart, _scale(scale or []))
        asyncio.run(up(options, None if no_catalogue else catalogue, Console()))


@app.command("demo", epilog="Examples:  make demo;  make demo ARGS=--json")
def demo_command(as_json: AsJson = False, nats_url: NatsUrl = None, picture: Picture = None) -> None:
    """Run a release through five regions, then another one that an alert rolls back."""
    with _errors_on_one_line():
        wait_for_enter = sys.stdin.isatty() and sys.stdout.isatty() and picture is None
        asyncio.run(demo(nats_url, as_json=as_json, picture=picture, wait_for_enter=wait_for_enter))


@contextlib.contextmanager
def _errors_on_one_line() -> Iterator[None]:
    """Print an error of the user or the broker on one line, and exit with code 1."""
    set_up_logging("local", form="text", level="ERROR")
    try:
        yield
    except SluicewayError as error:
        sys.stderr.write(f"sluiceway: {error}\n")
        raise typer.Exit(1) from None


def _scale(pairs: list[str]) -> dict[str, int]:
    scale = {}
    for pair in pairs:
        name, separator, count = pair.partition("=")
        if not separator or not count.isdigit():
            raise Misconfigured(f"--scale {pair}: use NAME=COUNT, for example scheduler=2")
        scale[name.replace("evaluator-publisher", "evaluator_publisher")] = int(count)
    return scale


if __name__ == "__main__":
    run_app(app)
