"""How many rejected messages of each sender are stored and logged."""

import logging

import pytest

from sluiceway.contracts import subjects
from sluiceway.messaging.dead_letters import BURST, OTHERS, SENDERS_MAX, DeadLetters, SenderRates
from sluiceway.repeated_logs import KINDS_MAX, RepeatedLogs
from sluiceway.telemetry.metrics import DEAD_LETTERS
from tests.unit.messaging.test_publishing import connection_of


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class StoringJetStream:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.stored: list[str] = []

    async def publish(self, subject: str, *_: object, **__: object) -> "StoringJetStream":
        self.stored.append(subject)
        return self

    seq = 1


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
    js = StoringJetStream()
    letters = DeadLetters(connection_of(js), "scheduler")
    suppressed = DEAD_LETTERS.labels("scheduler", "suppressed")
    before = suppressed._value.get()

    for _ in range(5_000):
        await letters.store(subjects.command("abort", "eve"), b"{", "invalid", "invalid")
    await letters.store(subjects.command("abort", "ada"), b"{", "invalid", "invalid")
    await letters.store(subjects.command("abort"), b"{", "invalid", "invalid")

    assert js.stored.count("sluiceway.dead_letters.scheduler.eve") <= BURST + 60
    assert js.stored[-2:] == ["sluiceway.dead_letters.scheduler.ada", "sluiceway.dead_letters.scheduler"]
    assert len(caplog.records) <= len(js.stored) + 3
    assert suppressed._value.get() - before == 5_002 - len(js.stored)


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
