"""The first key, without which nobody could sign in: created and shown once."""

import logging
import sys
from pathlib import Path

from sluiceway import console_keys
from sluiceway.contracts.commands import CreateKey
from sluiceway.contracts.identity import CONSOLE, ApiKey, Grant, Identity, Role

from .backend import ConsoleBackend
from .errors import CommandRefused

log = logging.getLogger(__name__)

ID = "bootstrap"
ADMIN = (Grant(role=Role.ADMIN),)


async def create_first_key(backend: ConsoleBackend, file: Path | None) -> None:
    """Create an admin's key, unless there ever was a key, and write it to `file` or to standard output.

    If several consoles start at the same time, one of them creates it.
    """
    if backend.catalogue.all("api_key") or backend.catalogue.last_sequence("api_key", ID):
        return
    key = console_keys.mint(ID)
    stored = ApiKey(
        id=ID, owner="admin", grants=ADMIN, hash=console_keys.hash_of(key), created_ms=backend.clock()
    )
    console = Identity(name=CONSOLE, grants=ADMIN, vouched_by=CONSOLE)
    command = CreateKey(actor=console.name, key=stored, reason="first start")
    try:
        await backend.execute(command, console)
    except CommandRefused as error:
        log.info("another console has created the first key: %s", error)
        return
    _show(key, file)


def _show(key: str, file: Path | None) -> None:
    if file:
        file.touch(mode=0o600)
        file.write_text(key)
    else:
        sys.stdout.write(f"the first key (shown once, role admin): {key}\n")
        sys.stdout.flush()
