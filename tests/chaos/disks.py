"""A small disk, which can be filled: a tmpfs."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """Let a folder be a disk of its own while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        unmount(folder)


def unmount(under: Path) -> None:
    """Remove the disks in a folder: those of a run that was killed, too."""
    for line in MOUNTS.read_text().splitlines():
        place = Path(line.split()[1])
        if place == under or under in place.parents:
            subprocess.run(["umount", "--lazy", place], check=True)
