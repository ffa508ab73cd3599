"""Without the rights that a cluster needs, it is said what is missing, in one line."""

import os
from pathlib import Path

import pytest

from tests.chaos import hosts

COMPLAINING = "#!/bin/sh\n[ {refused} ] || exit 0\nprintf 'no, you\\nmay not\\n' >&2\nexit 1\n"


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("as_root")
def test_programs_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert hosts.missing_requirements() == [f"the program {name}" for name in hosts.PROGRAMS]


def test_root_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _install(tmp_path, monkeypatch, refused="")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert hosts.missing_requirements() == ["root"]


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize(
    ("refused", "missing"),
    [
        ('"$1 $2" = "netns add"', ["make network namespaces"]),
        ('"$7" = "bridge"', ["make bridges"]),
        ('"$7" = "veth"', ["make cables"]),
        ('"$2" = "true"', ["enter network namespaces"]),
        ('"$1" = "--mount"', ["mount disks"]),
        ('"$1" = "nothing"', []),
    ],
)
def test_what_a_container_may_not_do_is_tried_and_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: str, missing: list[str]
) -> None:
    _install(tmp_path, monkeypatch, refused)

    assert hosts.missing_requirements() == [f"the right to {what} (no, you may not)" for what in missing]


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    """Let all programs be a script that refuses some arguments."""
    for name in hosts.PROGRAMS:
        program = folder / name
        program.write_text(COMPLAINING.format(refused=refused or '"$1" = "nothing"'))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
