"""`make up`: starts everything and keeps it running until Ctrl-C."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sluiceway.cli.apply import apply_all
from sluiceway.cli.current_state import read_catalogue
from sluiceway.cli.document_files import read_documents
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings

from .system import Options, System, running_system

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
CATALOGUE = EXAMPLES / "catalogue"
FIRST_CHANGE = EXAMPLES / "changes" / "dark_mode.yaml"
ACTOR = "local"
RETRY_SECONDS = 0.1


async def up(options: Options, first_catalogue: Path | None, console: Console) -> None:
    """Run until SIGINT or SIGTERM; apply `first_catalogue` if the catalogue has no region yet."""

    def print_line(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    _cancel_on_signal(print_line)
    with contextlib.suppress(asyncio.CancelledError):
        async with running_system(replace(options, print_line=print_line)) as system:
            await _start(system, first_catalogue, print_line)
            print_line(_next_steps(system))
            print_line(_sign_in_hint(system))
            await asyncio.Event().wait()
    print_line("stopped; all processes have ended")


def _cancel_on_signal(print_line: Callable[[str], None]) -> None:
    """Cancel this task at the first signal, even while it starts. How long stopping takes is bounded."""
    task = asyncio.current_task()
    assert task

    def stop() -> None:
        if not task.cancelling():
            print_line("stopping …")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def _start(system: System, first_catalogue: Path | None, print_line: Callable[[str], None]) -> None:
    if first_catalogue and await apply_first(system.nats_url, first_catalogue):
        print_line(f"applied {first_catalogue}, because the catalogue had no region yet")
        if first_catalogue == CATALOGUE:
            await apply_to(system.nats_url, FIRST_CHANGE)
            print_line(f"applied {FIRST_CHANGE}, so that the console shows a release")
    await system.edges_started()
    await system.ready()
    print_line(f"ready: {', '.join(sorted(system.processes))}")


async def apply_first(nats_url: str, directory: Path) -> bool:
    """Apply a folder if the catalogue has no region yet; return whether it was applied."""
    async with connected(BrokerSettings(nats_url=nats_url), "local-apply") as connection:
        if (await read_catalogue(connection)).regions:
            return False
    await apply_to(nats_url, directory)
    return True


async def apply_to(nats_url: str, path: Path) -> None:
    """Apply a file or folder as soon as a scheduler answers."""
    async with connected(BrokerSettings(nats_url=nats_url), "local-apply") as connection:
        while True:
            try:
                await apply_all(connection, read_documents([str(path)]), ACTOR, "first start")
                return
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)


def _next_steps(system: System) -> str:
    edges = "\n".join(f"  {name.removeprefix('edge-'):14} {url}" for name, url in system.edge_urls().items())
    return f"""
NATS is at {system.shown_url}. {system.data_dir / "system.json"} lists the processes.
Try this in another terminal:

  export SLUICEWAY_NATS_URL={system.shown_url} PATH="$PWD/.venv/bin:$PATH"
  sluiceway get regions
  sluiceway apply -f deploy/examples/changes/new_checkout.yaml
  sluiceway watch                                    # and when the release waits for review:
  sluiceway trigger approve gate.new_checkout.1
  sluiceway alert fire CheckoutErrors --label gate=new_checkout

Alertmanager can send alerts to {system.processes["monitor"].http}/alertmanager. The bearer token is the value
of SLUICEWAY_ALERTMANAGER_TOKEN, or the content of {system.data_dir / "alertmanager.token"}.
Guardrails query the Prometheus at SLUICEWAY_PROMETHEUS_URL.

SDKs connect to an edge, with a key (sluiceway key create --region dev):

{edges}"""


def _sign_in_hint(system: System) -> str:
    file = system.first_key_file
    key = f"the key in {file}" if file.exists() else "one of your keys"
    return f"\nThe console is at {system.console_url()}; sign in with {key}. Press Ctrl-C to stop everything."
