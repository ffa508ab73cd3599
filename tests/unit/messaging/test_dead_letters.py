"""How many rejected messages of each sender are stored and logged."""

import logging

import pytest

from sluiceway.contracts import subjects
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.dead_letters import BURST, OTHERS, SENDERS_MAX, DeadLetters, SenderRates
from sluiceway.repeated_logs import KINDS_MAX, RepeatedLogs
from sluiceway.telemetry.metrics import DEAD_LETTERS
from tests.support.answering_client import AnsweringClient, stored


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_sender_has_a_burst_and_then_a_rate_of_its_own() -> None:
    clock = Clock()
    rates = SenderRates(clock)

    taken = [rates.take("eve") for _ in range(1_000)]
    other = rates.take("ada")
    clock.now += 10
    later = [rates.take("eve") for _ in range(1_000)]

    assert (sum(taken), other, sum(later)) == (BURST, True, 10)


def test_senders_beyond_those_that_are_told_apart_share_a_rate() -> None:
    clock = Clock()
    rates = SenderRates(clock)
    for n in range(SENDERS_MAX):
        rates.take(rates.known(f"k{n}"))

    assert rates.known("one-more") == OTHERS
    assert rates.known("k0") == "k0"
    assert rates.known("not.a.token") == OTHERS
    clock.now += BURST + 1
    assert rates.known("one-more") == "one-more"


async def test_a_flood_is_counted_and_neither_stored_nor_logged_in_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = AnsweringClient(lambda _: stored(1))
    letters = DeadLetters(Connection(client), "scheduler")
    suppressed = DEAD_LETTERS.labels("scheduler", "suppressed")
    before = suppressed._value.get()

    for _ in range(5_000):
        await letters.store(subjects.command("abort", "eve"), b"{", "invalid", "invalid")
    await letters.store(subjects.command("abort", "ada"), b"{", "invalid", "invalid")
    await letters.store(subjects.command("abort"), b"{", "invalid", "invalid")

    stored_on = [message.subject for write in client.writes for message in write]
    assert stored_on.count("sluiceway.dead_letters.scheduler.eve") <= BURST + 60
    assert stored_on[-2:] == ["sluiceway.dead_letters.scheduler.ada", "sluiceway.dead_letters.scheduler"]
    assert len(caplog.records) <= len(stored_on) + 3
    assert suppressed._value.get() - before == 5_002 - len(stored_on)


def test_a_line_that_repeats_is_logged_once_a_period_with_its_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    repeated = RepeatedLogs(logging.getLogger("tests"), 30, clock)

    for n in range(1_000):
        repeated.warning("retry", "attempt %s failed", n)
    repeated.error("other", "another")
    clock.now += 30
    repeated.warning("retry", "attempt %s failed", 1_000)
    for n in range(2 * KINDS_MAX):
        repeated.warning(n, "kind")

    assert [record.getMessage() for record in caplog.records[:3]] == [
        "attempt 0 failed",
        "another",
        "attempt 1000 failed (999 more like this were left out)",
    ]
    assert len(repeated._kinds) == KINDS_MAX
