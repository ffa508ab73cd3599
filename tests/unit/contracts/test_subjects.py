"""Subjects, and the names in them."""

import pytest

from sluiceway.contracts import subjects


@pytest.mark.parametrize(
    ("subject", "principal"),
    [
        ("sluiceway.commands.approve.console", "console"),
        ("sluiceway.commands.approve", None),
        ("sluiceway.commands.approve.console.x", None),
        ("sluiceway.alerts.x.console", None),
        ("$KV.CATALOG.key.console", None),
    ],
)
def test_only_subjects_of_commands_name_a_principal(subject: str, principal: str | None) -> None:
    assert subjects.parse_principal(subject) == principal
