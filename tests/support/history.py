"""An older copy of the broker's store is put back, as a restore or a power loss does."""

import shutil
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """A broker whose data lies in a folder."""

    def kill(self) -> None: ...

    def start(self) -> None: ...


class SavedStore:
    """A copy of the streams of a broker, made while it was stopped."""

    def __init__(self, broker: Store, data_dir: Path) -> None:
        self._broker = broker
        self._streams = data_dir / "jetstream"
        self._copy = data_dir / "copy"

    def save(self) -> None:
        """Copy the streams as they are now; the broker is back when this returns."""
        self._broker.kill()
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._streams, self._copy)
        self._broker.start()

    def restore(self, *names: str) -> None:
        """Replace the streams with these names, or all, by the copy; the broker is back when this returns."""
        self._broker.kill()
        if not names:
            shutil.rmtree(self._streams)
            shutil.copytree(self._copy, self._streams)
        for name in names:
            current, saved = (self._stream(folder, name) for folder in (self._streams, self._copy))
            shutil.rmtree(current)
            shutil.copytree(saved, current)
        self._broker.start()

    def empty(self) -> None:
        """Start the broker with nothing stored."""
        self._broker.kill()
        shutil.rmtree(self._streams)
        self._broker.start()

    def _stream(self, folder: Path, name: str) -> Path:
        (found,) = folder.glob(f"jetstream/*/streams/{name}")
        return found
