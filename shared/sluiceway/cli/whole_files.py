"""Files that are there as a whole or not at all, also if two write them. Most are for their owner only."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .session import CommandFailed

#: Readable and writable by its owner only.
PRIVATE_FILE = 0o600
#: The same, and readable by everybody.
PUBLIC_FILE = 0o644
PRIVATE_FOLDER = 0o700


def create_folder(folder: Path) -> None:
    """Create a folder that only its owner opens, unless there is one; `CommandFailed` if that fails."""
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise CommandFailed(f"cannot create the folder {folder}: {error.strerror}") from None


def create_file(file: Path, content: bytes) -> bool:
    """Create a file; return False, and leave it as it is, if there is one."""
    with _complete(file, content) as temporary:
        try:
            os.link(temporary, file)
        except FileExistsError:
            return False
    return True


def replace_file(file: Path, content: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write a file, or write it again; `CommandFailed` if that fails, and it is what it was.

    A link stays one: what it leads to is written.
    """
    target = Path(os.path.realpath(file))
    with _complete(target, content, mode) as temporary:
        temporary.replace(target)


def is_special(file: Path) -> bool:
    """Return whether there is something that is not a file, such as a device, which a file would replace."""
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False  # writing to it says what is wrong


def read_file(file: Path) -> bytes:
    """Return the content of a file; `CommandFailed` if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}") from None


@contextlib.contextmanager
def _complete(file: Path, content: bytes, mode: int = PRIVATE_FILE) -> Iterator[Path]:
    """Write a file beside another one; it is deleted if the block leaves it there."""
    try:
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as written:
                os.fchmod(descriptor, mode)
                written.write(content)
                written.flush()
                os.fsync(descriptor)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CommandFailed(f"cannot write {file}: {error.strerror}") from None
