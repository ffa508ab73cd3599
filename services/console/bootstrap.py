"""The first key, without which nobody could sign in: shown once, and stored only after that.

So a failure at any step loses nothing: what could not be written or printed is not stored, and what was
written and not stored yet is stored by the next start.
"""

import asyncio
import fcntl
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from sluiceway import console_keys
from sluiceway.contracts.commands import CreateKey
from sluiceway.contracts.identity import CONSOLE, ApiKey, Grant, Identity, Role
from sluiceway.errors import Misconfigured

from .backend import ConsoleBackend
from .errors import CommandRefused

log = logging.getLogger(__name__)

ID = "bootstrap"
ADMIN = (Grant(role=Role.ADMIN),)
#: For the key that another console has created to be known here.
KNOWN_WITHIN_SECONDS = 5.0
POLL_SECONDS = 0.05


async def create_first_key(backend: ConsoleBackend, file: Path | None) -> None:
    """Create an admin's key, unless there ever was a key, and write it to `file` or to standard output.

    If several consoles start at the same time, one of them creates it. Those with the same file
    write one key.
    `Misconfigured`, before anything is stored, if the file cannot be written.
    """
    if backend.catalogue.all("api_key") or backend.catalogue.last_sequence("api_key", ID):
        return
    key = write_key(file) if file else _print_key()
    stored = ApiKey(
        id=ID, owner="admin", grants=ADMIN, hash=console_keys.hash_of(key), created_ms=backend.clock()
    )
    console = Identity(name=CONSOLE, grants=ADMIN, vouched_by=CONSOLE)
    command = CreateKey(actor=console.name, key=stored, reason="first start")
    try:
        await backend.execute(command, console)
    except CommandRefused as error:
        log.info("another console has created the first key: %s", error)
        await _withdraw(backend, key, file)


def write_key(file: Path) -> str:
    """Return the first key in a file, which gets a new one if it has none; only its owner can read it.

    It is on the disk as a whole before this returns. `Misconfigured` if that is not possible.
    """
    try:
        if file.exists() and _is_key(written := file.read_text(errors="replace").strip()):
            return written
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+", errors="replace") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)  # consoles that start at the same time write one key
            written = opened.read().strip()
            return written if _is_key(written) else _replace(opened, written, file)
    except OSError as error:
        raise Misconfigured(
            f"invalid setting SLUICEWAY_BOOTSTRAP_KEY_FILE: file {file} cannot be written: {error.strerror}; "
            "no key was created: name a file that this user may write"
        ) from None


def _replace(opened: TextIO, written: str, file: Path) -> str:
    """Write a new key instead of nothing, or of the part of one that a full disk has left."""
    if not written.startswith(console_keys.PREFIX[: len(written)]):
        raise Misconfigured(
            f"invalid setting SLUICEWAY_BOOTSTRAP_KEY_FILE: file {file} has something else in it than a key, "
            "so no key was created: name another file, or remove this one"
        )
    key = console_keys.mint(ID)
    opened.seek(0)
    opened.truncate()
    opened.write(key)
    opened.flush()
    os.fsync(opened.fileno())
    return key


def _is_key(text: str) -> bool:
    return len(text) == len(console_keys.mint(ID)) and console_keys.key_id(text) == ID


def _print_key() -> str:
    key = console_keys.mint(ID)
    sys.stdout.write(f"the first key (shown once, role admin): {key}\n")
    sys.stdout.flush()
    return key


async def _withdraw(backend: ConsoleBackend, key: str, file: Path | None) -> None:
    """Log which key is not valid, and remove it, unless the other console has stored the same."""
    try:
        async with asyncio.timeout(KNOWN_WITHIN_SECONDS):
            while (stored := backend.catalogue.api_key(ID)) is None:  # noqa: ASYNC110 (bounded)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        log.warning("it is not known whether the first key shown here is valid: try it before you remove it")
        return
    if console_keys.matches(key, stored.hash):
        return
    if file:
        _remove(file)
    log.warning("the first key shown here is not valid: another console has created and shown another one")


def _remove(file: Path) -> None:
    with suppress(OSError):  # the warning says that the key in it is not valid
        file.unlink()
