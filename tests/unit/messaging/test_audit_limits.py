"""How many audit records one source may cause."""

from typing import Any

from sluiceway.contracts.audit_records import AuditEvent, AuditType
from sluiceway.contracts.persons import Account
from sluiceway.messaging.audit_limits import (
    OF_ANONYMOUS,
    OF_KEY_CHANGES,
    OF_SOURCE,
    SOURCES_MAX,
    SUMMARIES_MAX,
    SUMMARY_SECONDS,
    AuditLimits,
)


class ManualClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def an_event(**fields: Any) -> AuditEvent:
    given = {"type": AuditType.DENIED, "time_ms": 1, "actor": "ada", "vouched_by": "k1", **fields}
    return AuditEvent.model_validate(given)


def admitted(limits: AuditLimits, events: list[AuditEvent]) -> int:
    return sum(limits.admits(event) for event in events)


def test_one_source_causes_a_few_records_and_then_a_count() -> None:
    clock = ManualClock()
    limits = AuditLimits(clock)

    assert admitted(limits, [an_event()] * 100_000) == OF_SOURCE.burst
    assert list(limits.due_summaries()) == []
    clock.seconds = SUMMARY_SECONDS
    [summary] = limits.due_summaries()

    left_out = 100_000 - OF_SOURCE.burst
    assert (summary.type, summary.actor, summary.count) == (AuditType.SUPPRESSED, "ada", left_out)
    assert summary.reason.startswith(f"{left_out} more suppressed, the last one: denied")
    assert list(limits.due_summaries()) == []
    clock.seconds = OF_SOURCE.refill_seconds
    assert limits.admits(an_event())
    assert not limits.admits(an_event())


def test_a_source_does_not_use_up_the_records_of_another() -> None:
    limits = AuditLimits(ManualClock())
    admitted(limits, [an_event()] * 1_000)

    assert limits.admits(an_event(actor="bob", vouched_by="k2"))
    account = Account(issuer="https://id.example", subject="1")
    assert limits.admits(an_event(actor="ada", vouched_by="console", account=account))
    assert limits.admits(an_event(type=AuditType.REFUSED))


def test_one_person_under_changing_names_is_one_source() -> None:
    limits = AuditLimits(ManualClock())
    account = Account(issuer="https://id.example", subject="1")
    events = [an_event(actor=f"ada {n}", vouched_by="console", account=account) for n in range(1_000)]

    assert admitted(limits, events) == OF_SOURCE.burst


def test_many_addresses_are_bounded_together_and_leave_known_people_alone() -> None:
    clock = ManualClock()
    limits = AuditLimits(clock)
    failed = [
        an_event(
            type=AuditType.SIGN_IN_FAILED, actor=None, vouched_by=None, address=f"10.{n // 256}.0.{n % 256}"
        )
        for n in range(50_000)
    ]

    assert admitted(limits, failed) == OF_ANONYMOUS.burst
    assert limits.admits(an_event())
    clock.seconds = SUMMARY_SECONDS
    [summary] = limits.due_summaries()
    assert (summary.count, summary.address) == (50_000 - OF_ANONYMOUS.burst, None)


def test_what_is_remembered_of_sources_is_bounded() -> None:
    clock = ManualClock()
    limits = AuditLimits(clock)
    for person in range(SUMMARIES_MAX + 100):
        admitted(limits, [an_event(actor=f"p{person}")] * (OF_SOURCE.burst + 1))

    clock.seconds = SUMMARY_SECONDS
    summaries = list(limits.due_summaries())
    assert len(summaries) == SUMMARIES_MAX + 1
    assert sum(summary.count or 0 for summary in summaries) == SUMMARIES_MAX + 100


def test_an_admin_cannot_hide_a_deed_behind_changes_of_keys() -> None:
    limits = AuditLimits(ManualClock())
    changes = [an_event(type=AuditType.KEY_CREATED), an_event(type=AuditType.KEY_REVOKED)] * 50_000

    assert admitted(limits, changes) == 2 * OF_KEY_CHANGES.burst


def test_addresses_make_no_known_source_forgotten() -> None:
    limits = AuditLimits(ManualClock())
    admitted(limits, [an_event()] * (OF_SOURCE.burst + 1))

    for number in range(SOURCES_MAX + 1):
        limits.admits(an_event(actor=None, vouched_by=None, address=str(number)))

    assert not limits.admits(an_event())
