"""The last good rules on disk: an edge or client starts with them if no broker answers."""

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..messaging.stream_follower import START, Position

log = logging.getLogger(__name__)

_TABLES = """
CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), created TEXT, sequence INTEGER);
CREATE TABLE IF NOT EXISTS rules (subject TEXT PRIMARY KEY, document BLOB);
"""


class RuleCache:
    """Documents by subject, and the position in the stream that they come from; survives `kill -9`.

    A file that cannot be read is renamed, and replaced by an empty one.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _open(path)
        except sqlite3.DatabaseError as error:
            renamed = path.with_name(f"{path.name}.unreadable")
            log.error("cannot read %s (%s); renaming it to %s", path, error, renamed.name)
            path.replace(renamed)
            self._database = _open(path)

    def position(self) -> Position:
        """Return how far the stream was followed."""
        row = self._database.execute("SELECT created, sequence FROM position").fetchone()
        return Position(*row) if row else START

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """Yield each subject with its document."""
        yield from self._database.execute("SELECT subject, document FROM rules")

    def put(self, subject: str, document: bytes | None, position: Position) -> None:
        """Store a document (None deletes it) and the position that includes it, both or neither."""
        with self._database:
            if document is None:
                self._database.execute("DELETE FROM rules WHERE subject = ?", (subject,))
            else:
                self._database.execute("INSERT OR REPLACE INTO rules VALUES (?, ?)", (subject, document))
            self._database.execute("INSERT OR REPLACE INTO position VALUES (1, ?, ?)", position)

    def clear(self) -> None:
        """Delete everything."""
        with self._database:
            self._database.execute("DELETE FROM rules")
            self._database.execute("DELETE FROM position")

    def close(self) -> None:
        self._database.close()


def _open(path: Path) -> sqlite3.Connection:
    # Opened by the thread that starts the client, written by the one that follows the rules.
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_TABLES)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
