"""Start everything and keep it running until Ctrl-C."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sluiceway.cli.apply import apply_all
from sluiceway.cli.document_files import read_documents
from sluiceway.cli.snapshots import catalogue
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
    """Run until SIGINT or SIGTERM; a catalogue that has no region yet gets `first_catalogue`."""

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    _cancel_on_signal(tell)
    with contextlib.suppress(asyncio.CancelledError):
        async with running_system(replace(options, tell=tell)) as system:
            await _start(system, first_catalogue, tell)
            tell(_what_next(system))
            tell(sign_in(system))
            await asyncio.Event().wait()
    tell("stopped; nothing of it runs any more")


def _cancel_on_signal(tell: Callable[[str], None]) -> None:
    """Let the first signal cancel this task, also while it starts; the stop itself is bounded."""
    task = asyncio.current_task()
    assert task

    def stop() -> None:
        if not task.cancelling():
            tell("stopping …")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def _start(system: System, first_catalogue: Path | None, tell: Callable[[str], None]) -> None:
    if first_catalogue and await apply_first(system.nats_url, first_catalogue):
        tell(f"applied {first_catalogue}, since the catalogue had no region yet")
        if first_catalogue == CATALOGUE:
            await apply_to(system.nats_url, FIRST_CHANGE)
            tell(f"applied {FIRST_CHANGE}, so that there is something to look at")
    await system.settled()
    await system.ready()
    tell(f"ready: {', '.join(sorted(system.processes))}")


async def apply_first(nats_url: str, directory: Path) -> bool:
    """Apply a folder where the catalogue has no region yet; say whether it was applied."""
    async with connected(BrokerSettings(nats_url=nats_url), "local-apply") as connection:
        if (await catalogue(connection)).regions:
            return False
    await apply_to(nats_url, directory)
    return True


async def apply_to(nats_url: str, path: Path) -> None:
    """Apply a file or folder, as soon as somebody answers."""
    async with connected(BrokerSettings(nats_url=nats_url), "local-apply") as connection:
        while True:
            try:
                await apply_all(connection, read_documents([str(path)]), ACTOR, "first start")
                return
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)


def _what_next(system: System) -> str:
    edges = "\n".join(f"  {name.removeprefix('edge-'):14} {url}" for name, url in system.edges().items())
    return f"""
NATS is at {system.nats_url}; what runs is in {system.data_dir / "system.json"}. Try, in another terminal:

  export SLUICEWAY_NATS_URL={system.nats_url} PATH="$PWD/.venv/bin:$PATH"
  sluiceway get regions
  sluiceway apply -f deploy/examples/changes/new_checkout.yaml
  sluiceway watch                                    # and, once it waits for review:
  sluiceway trigger approve gate.new_checkout.1
  sluiceway alert fire CheckoutErrors --label gate=new_checkout

An Alertmanager may send to {system.processes["monitor"].http}/alertmanager, with the bearer token in
{system.data_dir / "alertmanager.token"}, unless SLUICEWAY_ALERTMANAGER_TOKEN says another one.
Guardrails ask the Prometheus that SLUICEWAY_PROMETHEUS_URL names.

Edges, for SDKs with a key (sluiceway key create --region dev):

{edges}"""


def sign_in(system: System) -> str:
    """Return where the console is, and how to get in."""
    key = system.first_key_file
    how = f"sign in with the key in {key}" if key.exists() else "sign in with a key of yours"
    return f"\nThe console is at {system.console()} ({how}). Ctrl-C stops everything."
