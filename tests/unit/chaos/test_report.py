"""What a run prints, and the file that it can be checked by again."""

from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway.contracts.replies import Outcome
from tests.chaos import checker
from tests.chaos.history import Fault, History, ReadinessAnswer, SeenEvent, SentCommand
from tests.chaos.report import Stall, markdown, percentile, progress, stalls, summary

from .histories import a_whole_release


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    history = replace(
        a_whole_release(),
        faults=(a_fault("cut", 1, 2),),
        seen=(SeenEvent(sequence=1, command_id="one", time_ms=1),),
        readiness=(ReadinessAnswer(process="a", life=1, host="b", asked_ms=1, answered_ms=2, is_ready=True),),
    )

    history.write(tmp_path)

    assert History.read(tmp_path) == history


def test_a_stall_is_the_slowest_answer_during_a_fault_of_its_kind() -> None:
    history = History(
        commands=(sent(0, 40), sent(150, 1_150, retries=1), sent(3_000, 8_000)),
        faults=(a_fault("kill", 100, 200), a_fault("cut", 2_000, 2_500), a_fault("cut", 5_000, 5_400)),
    )

    assert stalls(history) == [Stall("cut", 2, 5_000, 0, 50), Stall("kill", 1, 1_000, 1, 50)]


def test_the_table_of_the_documents_has_a_row_for_each_kind_of_fault() -> None:
    history = History(
        commands=(sent(0, 40), sent(1_500, 7_820)),
        faults=(a_fault("step a clock", 0, 100), a_fault("kill a broker", 1_000, 2_000)),
    )

    assert markdown(history)[2:] == [
        "| **kill a broker**: SIGKILL; it is started again within 6 s | 1 | 6.3 s | 0 | under 0.1 s |",
        "| **step a clock**: Let all services of a host see a time that is 10 s ahead or behind | 1 | "
        "under 0.1 s | 0 | under 0.1 s |",
    ]


def test_the_summary_counts_answers_and_shows_findings() -> None:
    history = replace(a_whole_release(), commands=(sent(0, 40), sent(0, 70, outcome=Outcome.REFUSED)))
    findings = checker.check(history)

    text = "\n".join(summary(history, findings))

    assert "2 commands answered, 1 refused, 0 given up by clients, p99 70 ms" in text
    assert all(finding.text in text for finding in findings)


def test_commands_that_were_not_answered_are_not_counted_as_answered() -> None:
    unanswered = sent(0, 1).model_copy(update={"answered_ms": None, "outcome": None})

    assert progress([unanswered], []).startswith("0 commands answered")


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 51), (99, 100), (100, 100)])
def test_a_percentile_is_one_of_the_values(percent: int, value: int) -> None:
    assert percentile(range(1, 101), percent) == value
    assert percentile([], percent) == 0


def sent(
    sent_ms: int, answered_ms: int, outcome: Outcome = Outcome.ACCEPTED, retries: int = 0
) -> SentCommand:
    return SentCommand(
        id="one",
        verb="pause",
        feature="gate.a",
        actor="ada",
        sent_ms=sent_ms,
        answered_ms=answered_ms,
        outcome=outcome,
        retries=retries,
    )


def a_fault(kind: str, started_ms: int, healed_ms: int) -> Fault:
    """Return a fault after which all was ready within 50 ms."""
    return Fault(
        kind=kind, target="host1", started_ms=started_ms, healed_ms=healed_ms, ready_ms=healed_ms + 50
    )
