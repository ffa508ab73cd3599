"""The last good rules on disk: an edge or client starts with them if no broker answers."""

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..messaging.stream_records import Position

log = logging.getLogger(__name__)

#: How long to wait before a disk that refused a write is tried again.
RETRY_SECONDS = 10.0
_TABLES = """
CREATE TABLE IF NOT EXISTS rules (subject TEXT PRIMARY KEY, document BLOB);
CREATE TABLE IF NOT EXISTS place (
    one INTEGER PRIMARY KEY CHECK (one = 1), created TEXT, sequence INTEGER, time_ms INTEGER, epoch INTEGER
);
"""
#: What 0.1 wrote instead of `place`.
_OLD_PLACE = "SELECT created, sequence, 0, 0 FROM position"


class Place(NamedTuple):
    """The place in the stream that the documents come from, and the epoch of their set."""

    position: Position
    epoch: int


class _Opened(NamedTuple):
    database: sqlite3.Connection | None
    can_write: bool


class RuleCache:
    """Documents by subject, and their place in the stream; survives `kill -9`.

    A file that cannot be read is renamed, and replaced by an empty one. The disk is optional: a folder
    that cannot be written to is logged and tried again later; no method raises because of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._retry_at = 0.0
        self._is_closed = False
        self._database, can_write = _open_any(path)
        #: Whether the file lacks changes: then only everything may be written, not the next change alone.
        #: One that cannot be written to lacks the next; the log has said so.
        self._is_behind = not can_write
        self._inode = _inode(path)

    def load(self) -> tuple[Place, dict[str, bytes]] | None:
        """Return the place and the documents; None if the file holds no whole set, or is damaged."""
        try:
            place, documents = self.place(), self.documents()
        except sqlite3.Error as error:
            self.discard(error)
            return None
        return (place, documents) if place else None

    def discard(self, error: Exception) -> None:
        """Rename a damaged file, and begin an empty one: what it holds cannot be trusted."""
        if self._database:
            self._database.close()
        self._database = None
        try:
            _rename(self._path, error)
            self._database = _open(self._path)
            self._inode = _inode(self._path)
        except (sqlite3.Error, OSError) as failure:
            log.error("cannot replace %s, going on without: %s", self._path, failure)

    def place(self) -> Place | None:
        """Return the place that the documents come from; None if the file holds no whole set."""
        for query in ("SELECT created, sequence, time_ms, epoch FROM place", _OLD_PLACE):
            for created, sequence, time_ms, epoch in self._rows(query):
                return Place(Position(created, sequence, time_ms), epoch)
        return None

    def documents(self) -> dict[str, bytes]:
        """Return each subject with its document."""
        return dict(self._rows("SELECT subject, document FROM rules"))

    def store(
        self,
        changes: Mapping[str, bytes | None],
        place: Place,
        everything: Callable[[], Mapping[str, bytes]],
    ) -> None:
        """Store changed documents (None deletes one) and the place that includes them, all or nothing.

        If an earlier write failed, `everything` is stored instead.
        """
        if self._is_closed or (self._is_behind and time.monotonic() < self._retry_at):
            return
        if not self._is_behind and self._database and not self._is_in_place():
            log.error("%s was removed; it is written again", self._path)
            self._is_behind = True
        try:
            if self._is_behind or self._database is None:
                self._replace_all(everything(), place)
            else:
                _write(self._database, changes, place)
        except (sqlite3.Error, OSError) as error:
            if not self._is_behind:
                log.error("cannot store the rules in %s, going on without: %s", self._path, error)
            self._is_behind, self._retry_at = True, time.monotonic() + RETRY_SECONDS

    def retry(self, place: Place, everything: Callable[[], Mapping[str, bytes]]) -> None:
        """Store everything if an earlier write failed; to be called now and then."""
        if self._is_behind:
            self.store({}, place, everything)

    def _is_in_place(self) -> bool:
        """Return whether the open file is still the one at its path."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        self._is_closed = True
        if self._database:
            self._database.close()

    def _replace_all(self, documents: Mapping[str, bytes], place: Place) -> None:
        if self._database:
            self._database.close()
        self._database = None
        self._database = _open(self._path)
        self._inode = _inode(self._path)
        with self._database:
            self._database.execute("DELETE FROM rules")
            _write(self._database, documents, place)
        if self._is_behind:
            log.info("the rules are stored in %s again", self._path)
        self._is_behind = False

    def _rows(self, query: str) -> list[Any]:
        if self._database is None:
            return []
        try:
            return self._database.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []


def _write(database: sqlite3.Connection, changes: Mapping[str, bytes | None], place: Place) -> None:
    deleted = [(subject,) for subject, document in changes.items() if document is None]
    stored = [(subject, document) for subject, document in changes.items() if document is not None]
    with database:
        database.executemany("DELETE FROM rules WHERE subject = ?", deleted)
        database.executemany("INSERT OR REPLACE INTO rules VALUES (?, ?)", stored)
        database.execute(
            "INSERT OR REPLACE INTO place VALUES (1, ?, ?, ?, ?)", (*place.position, place.epoch)
        )
        database.execute("DROP TABLE IF EXISTS position")


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _rename(path: Path, error: Exception) -> None:
    """Rename an unreadable file, and remove the journal beside it, which belongs to it."""
    renamed = path.with_name(f"{path.name}.unreadable")
    log.error("cannot read %s (%s); renaming it to %s", path, error, renamed.name)
    path.replace(renamed)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _open_any(path: Path) -> _Opened:
    """Open the file, for reading only if it cannot be written to; without it if not even that is possible."""
    try:
        try:
            return _Opened(_open(path), can_write=True)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            _rename(path, error)
            return _Opened(_open(path), can_write=True)
    except (sqlite3.Error, OSError) as error:
        log.error("cannot write to %s, going on without: %s", path, error)
    return _Opened(_open_for_reading(path), can_write=False)


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Opened by the thread that starts the client, written by the one that follows the rules.
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_TABLES)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _open_for_reading(path: Path) -> sqlite3.Connection | None:
    """Open a file in a folder that is read-only; `immutable` where the log beside it cannot be opened."""
    for options in ("mode=ro", "mode=ro&immutable=1"):
        try:
            database = sqlite3.connect(
                f"{path.absolute().as_uri()}?{options}", uri=True, check_same_thread=False
            )
        except sqlite3.Error:
            return None
        try:
            database.execute("SELECT 1 FROM rules LIMIT 1").fetchone()
            return database
        except sqlite3.Error:
            database.close()
    return None
