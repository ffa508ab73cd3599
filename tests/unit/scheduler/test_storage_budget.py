"""One sender does not fill the store."""

import pytest

from services.scheduler.authentication import MONITOR_IDENTITY
from services.scheduler.storage_budget import STORED_BYTES_MAX, STORED_BYTES_PER_SECOND, StorageBudget
from sluiceway.contracts.commands import AbortTrigger, Command, SaveEnvironment
from sluiceway.contracts.identity import CONSOLE, Grant, Identity, Role
from sluiceway.contracts.replies import RefusalCode

#: A document as large as many have.
LARGE = 200_000


def person(name: str) -> Identity:
    return Identity(name=name, grants=(Grant(role=Role.EDITOR),), vouched_by=CONSOLE)


def save(identity: Identity | None) -> Command:
    return SaveEnvironment.model_validate(
        {"actor": "ada", "environment": {"name": "qa"}, "identity": identity}
    )


def abort(identity: Identity) -> Command:
    return AbortTrigger(actor="ada", trigger="gate.g.1", identity=identity)


def test_three_hundred_large_documents_at_a_time_are_within_it() -> None:
    budget = StorageBudget(lambda: 0)

    for _ in range(300):
        assert budget.refusal(save(person("ada"))) is None
        budget.charge(save(person("ada")), LARGE)


def test_whoever_has_stored_too_much_waits_until_it_has_come_back() -> None:
    now = [0.0]
    budget = StorageBudget(lambda: now[0])
    budget.charge(save(person("mallory")), STORED_BYTES_MAX + STORED_BYTES_PER_SECOND)

    refusal = budget.refusal(save(person("mallory")))
    now[0] += 1.1

    assert refusal
    assert refusal.code is RefusalCode.RATE_LIMITED
    assert refusal.retry_after_ms == 1_001
    assert "64 MiB may be stored after a rest, and 100,000 bytes a second after that" in refusal.message
    assert budget.refusal(save(person("mallory"))) is None


def test_others_and_what_takes_something_back_go_on() -> None:
    budget = StorageBudget(lambda: 0)
    budget.charge(save(person("mallory")), 2 * STORED_BYTES_MAX)

    assert budget.refusal(save(person("mallory")))
    assert budget.refusal(abort(person("mallory"))) is None
    assert budget.refusal(save(person("ada"))) is None


@pytest.mark.parametrize("command", [abort(person("ada")), save(MONITOR_IDENTITY), save(None)])
def test_what_is_free_is_never_refused(command: Command) -> None:
    budget = StorageBudget(lambda: 0)

    budget.charge(command, 2 * STORED_BYTES_MAX)

    assert budget.refusal(command) is None
    assert budget.refusal(save(person("ada"))) is None
