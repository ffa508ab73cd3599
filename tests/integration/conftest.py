"""What every integration test does without, because unit tests have it."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from sluiceway import console_keys


@pytest.fixture(scope="module", autouse=True)
def _cheap_hashes() -> Iterator[None]:
    """Hash keys of the console as cheaply as Argon2 can: what is stored costs 25 ms at each comparison."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console_keys, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield
