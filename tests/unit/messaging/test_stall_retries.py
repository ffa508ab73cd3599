"""What is tried again while the broker stalls, and for how long."""

import pytest

from sluiceway.errors import RetryLater, StoreFull, Unavailable
from sluiceway.messaging import stall_retries
from sluiceway.messaging.stall_retries import StallRetries, through_stalls


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stall_retries, "PAUSE_SECONDS", (0.0, 0.0))


class Attempts:
    def __init__(self, *results: RetryLater | str) -> None:
        self._results = list(results)
        self.count = 0

    async def __call__(self) -> str:
        self.count += 1
        result = self._results.pop(0)
        if isinstance(result, RetryLater):
            raise result
        return result


async def test_what_fails_while_there_is_no_leader_is_tried_again() -> None:
    attempts = Attempts(Unavailable("no leader"), Unavailable("no leader"), "done")

    assert await through_stalls(attempts) == "done"


async def test_the_last_error_is_raised_after_the_bound() -> None:
    attempts = Attempts(Unavailable("no leader"), Unavailable("no leader either"))

    with pytest.raises(Unavailable, match="no leader"):
        await through_stalls(attempts, seconds_max=0)


async def test_what_does_not_pass_by_itself_is_tried_once() -> None:
    attempts = Attempts(StoreFull("no space"), "done")

    with pytest.raises(StoreFull):
        await through_stalls(attempts)

    assert attempts.count == 1


async def test_an_attempt_is_given_no_more_time_than_is_left() -> None:
    retries = StallRetries(5.0)

    assert retries.within(60.0) == 60.0  # nothing has failed yet
    assert await retries.pause()
    assert 0 < retries.within(60.0) <= 5.0
