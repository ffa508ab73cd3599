"""The first key is shown before it is stored, so that no failure loses it."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.console import bootstrap
from services.console.bootstrap import ID, create_first_key, write_key
from services.console.errors import CommandRefused
from sluiceway import console_keys
from sluiceway.contracts.commands import CreateKey
from sluiceway.contracts.identity import ApiKey
from sluiceway.errors import Misconfigured, Unavailable
from sluiceway.pipelines import refusals

PRINTED = "the first key (shown once, role admin): "


class FakeCatalogue:
    """The only key that is stored, if there is one."""

    def __init__(self) -> None:
        self.stored: ApiKey | None = None

    def all(self, kind: str) -> list[ApiKey]:
        return [self.stored] if self.stored else []

    def last_sequence(self, kind: str, id_: str) -> int:
        return int(self.stored is not None)

    def api_key(self, id_: str) -> ApiKey | None:
        return self.stored


class FakeBackend:
    """Stores the first key; `before` is called with each command."""

    def __init__(self, before: Callable[[CreateKey], None] = lambda command: None) -> None:
        self.catalogue = FakeCatalogue()
        self._before = before

    def follow(self, other: "FakeBackend") -> None:
        """Learn of the key that another console has stored meanwhile."""
        self.catalogue.stored = other.catalogue.stored

    def clock(self) -> int:
        return 0

    async def execute(self, command: CreateKey, caller: object) -> None:
        self._before(command)
        if self.catalogue.stored:
            raise CommandRefused(refusals.key_exists(ID))
        assert isinstance(command.key, ApiKey)
        self.catalogue.stored = command.key


def _start(backend: FakeBackend, file: Path | None) -> Any:
    return create_first_key(backend, file)  # type: ignore[arg-type]


def _opens(backend: FakeBackend, key: str) -> bool:
    return backend.catalogue.stored is not None and console_keys.matches(key, backend.catalogue.stored.hash)


async def test_the_key_is_in_its_file_before_it_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "console.key"
    seen: list[str] = []
    backend = FakeBackend(lambda command: seen.append(file.read_text()))

    await _start(backend, file)

    assert seen == [file.read_text()]
    assert _opens(backend, seen[0])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_the_key_is_printed_before_it_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    backend = FakeBackend(lambda command: seen.append(capsys.readouterr().out))

    await _start(backend, None)

    assert _opens(backend, seen[0].removeprefix(PRINTED).strip())


async def test_a_file_that_cannot_be_written_is_named_and_nothing_is_stored(tmp_path: Path) -> None:
    backend = FakeBackend()
    file = tmp_path / "missing" / "console.key"

    with pytest.raises(Misconfigured, match=f"SLUICEWAY_BOOTSTRAP_KEY_FILE: file {file} cannot be written"):
        await _start(backend, file)

    assert backend.catalogue.stored is None


async def test_a_disk_that_is_full_stores_nothing_and_the_next_start_writes_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = FakeBackend()
    file = tmp_path / "console.key"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap.os, "fsync", full)  # type: ignore[attr-defined]
        with pytest.raises(Misconfigured, match="No space left on device"):
            await _start(backend, file)
    assert backend.catalogue.stored is None
    os.truncate(file, 20)

    await _start(backend, file)

    assert _opens(backend, file.read_text())


async def test_a_console_that_ended_before_the_key_was_stored_stores_the_same_one(tmp_path: Path) -> None:
    file = tmp_path / "console.key"

    def unavailable(command: CreateKey) -> None:
        raise Unavailable("the broker is away")

    with pytest.raises(Unavailable):
        await _start(FakeBackend(unavailable), file)
    written, backend = file.read_text(), FakeBackend()
    await _start(backend, file)

    assert file.read_text() == written
    assert _opens(backend, written)


async def test_of_consoles_with_one_file_both_show_the_key_that_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "console.key"
    first = FakeBackend()
    await _start(first, file)

    late = FakeBackend(lambda command: late.follow(first))
    await _start(late, file)

    assert _opens(late, file.read_text())


async def test_of_consoles_with_their_own_files_only_the_valid_key_stays(tmp_path: Path) -> None:
    first = FakeBackend()
    await _start(first, tmp_path / "first.key")
    late = FakeBackend(lambda command: late.follow(first))

    await _start(late, tmp_path / "late.key")

    assert _opens(first, (tmp_path / "first.key").read_text())
    assert not (tmp_path / "late.key").exists()


def test_a_file_with_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("do not lose me")

    with pytest.raises(Misconfigured, match="has something else in it"):
        write_key(file)

    assert file.read_text() == "do not lose me"
