"""Copies on disk of an edge without SLUICEWAY_INSTANCE: earlier versions had one folder for all replicas."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

log = logging.getLogger(__name__)

#: The folder that earlier versions used for every edge without SLUICEWAY_INSTANCE.
SHARED_FOLDER = "edge"


def take_earlier_copies(folder: Path, region: str) -> None:
    """Copy what an earlier version has stored for a region, unless `folder` has a copy already."""
    for suffix in ("rules", "keys"):
        source, target = folder.parent / SHARED_FOLDER / f"{region}.{suffix}", folder / f"{region}.{suffix}"
        try:
            if source.exists() and not target.exists():
                _copy(source, target)
                log.info("copied %s, which an earlier version has stored, to %s", source, target)
        except (sqlite3.Error, OSError) as error:
            log.warning("cannot copy %s to %s, going on without: %s", source, target, error)


def _copy(source: Path, target: Path) -> None:
    """Copy a file as a whole, also if another process writes to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.draft")
    draft.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as earlier,
        closing(sqlite3.connect(draft)) as copy,
    ):
        earlier.backup(copy)
    draft.replace(target)
