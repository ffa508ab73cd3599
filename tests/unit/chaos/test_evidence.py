"""A run lists the faults and laws that it did not try, and a pause of this machine causes no finding."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sluiceway.tasks import cancel_and_wait
from tests.chaos import checker
from tests.chaos.delays import DELAY_MS_MIN, LOOK_EVERY_SECONDS, watch_loop
from tests.chaos.fault_kinds import KINDS
from tests.chaos.history import Fault, History, LogLine, LoopDelay, ReadinessAnswer, UnservedRules
from tests.chaos.report import check_size, summary
from tests.support.waiting import eventually

from .histories import RECORDED, a_whole_release, laws_broken_by

BELIEFS = "nobody takes a broker that is behind for a store that lost something"
INTERNAL = "no process logs an internal error"
SERVING = "an edge goes on serving"
READINESS = "who is cut off is not ready"
CALM = "who is not disturbed is ready"
ABLE = "if all are ready, commands are answered"
HOUR_MS = 3_600_000


def test_a_run_names_the_faults_and_the_laws_that_it_did_not_try() -> None:
    history = a_whole_release()

    lines = summary(history, checker.check(history))

    assert [line for line in lines if line.startswith("not tried: ")] == [
        f"not tried: {kind}" for kind in KINDS if kind != history.faults[0].kind
    ]
    assert f"not tried, as there was no case of it: {READINESS}" in lines
    assert f"not tried, as there was no case of it: {CALM}" not in lines


@pytest.mark.parametrize(
    "empty",
    [
        {"commands": ()},
        {"events": ()},
        {"seen": ()},
        {"served": ()},
        {"final": ()},
        {"readiness": ()},
        {"faults": ()},
    ],
    ids=lambda empty: next(iter(empty)),
)
def test_a_run_that_did_not_record_something_has_findings(empty: dict[str, tuple[()]]) -> None:
    findings = checker.check(replace(a_whole_release(), **empty))

    assert RECORDED in {finding.law for finding in findings}


def test_a_run_that_ended_early_has_a_finding() -> None:
    abort = LogLine(process="chaos", line="OSError('no space left')")

    findings = checker.check(replace(a_whole_release(), aborts=(abort,)))

    assert [finding.text for finding in findings] == ["the run ended early: OSError('no space left')"]


def test_an_empty_history_has_findings() -> None:
    assert {finding.law for finding in checker.check(History())} == {RECORDED}


def test_an_edge_that_answers_with_an_error_after_it_has_served_is_found() -> None:
    error = UnservedRules(edge="edge-dev-1", asked_ms=1, answered_ms=2, status=401)

    assert laws_broken_by(replace(a_whole_release(), unserved=(error,))) == {SERVING}


@pytest.mark.parametrize(("delayed_ms", "broken"), [(0, {SERVING}), (500, set())])
def test_an_edge_that_does_not_answer_is_found_unless_the_machine_stood_still(
    delayed_ms: int, broken: set[str]
) -> None:
    error = UnservedRules(edge="edge-dev-1", asked_ms=1_000, answered_ms=11_000)
    delay = LoopDelay(first_ms=2_000, last_ms=2_000 + delayed_ms)

    assert laws_broken_by(replace(a_whole_release(), unserved=(error,), delays=(delay,))) == broken


def test_a_line_that_no_process_should_log_is_found() -> None:
    line = LogLine(process="monitor-1", line="the stream FEATURES went back")

    assert laws_broken_by(replace(a_whole_release(), breaks=(line,))) == {BELIEFS}
    assert laws_broken_by(replace(a_whole_release(), errors=(line,))) == {INTERNAL}


def test_an_edge_that_was_never_seen_to_serve_is_named() -> None:
    history = a_whole_release()
    served = tuple(record for record in history.served if record.edge != "edge-eu-1")

    findings = checker.check(replace(history, served=served))

    assert [finding.text for finding in findings] == ["edge-eu-1 was never seen to serve anything"]


@pytest.mark.parametrize(
    ("asked_ms", "delays", "broken"),
    [
        (50_000, (), {CALM}),
        (50_000, (LoopDelay(first_ms=45_000, last_ms=46_000),), set()),
        (50_000, (LoopDelay(first_ms=20_000, last_ms=30_000),), {CALM}),
        (2, (), set()),
        (150_000, (), set()),
    ],
    ids=["calm", "the machine stood still", "it did long before", "a fault", "a fault without an end"],
)
def test_a_process_that_is_not_ready_without_a_fault_is_found(
    asked_ms: int, delays: tuple[LoopDelay, ...], broken: set[str]
) -> None:
    history = a_whole_release()
    fault = Fault(kind="kill", target="a", started_ms=100_000, healed_ms=200_000, ready_ms=300_000)
    answer = _answer(asked_ms=asked_ms, is_ready=False)

    changed = replace(history, faults=(*history.faults, fault), readiness=(answer,), delays=delays)

    assert laws_broken_by(changed) == broken


@pytest.mark.parametrize(("delayed_ms", "broken"), [(0, {READINESS}), (1_000, {READINESS}), (10_000, set())])
def test_a_process_that_is_cut_off_has_more_time_if_the_machine_stood_still(
    delayed_ms: int, broken: set[str]
) -> None:
    cut = Fault(
        kind="cut", target="host1", started_ms=0, healed_ms=30_000, ready_ms=31_000, hosts_cut_off=("host1",)
    )
    delay = LoopDelay(first_ms=1_000, last_ms=1_000 + delayed_ms)

    changed = replace(
        a_whole_release(),
        faults=(cut,),
        readiness=(_answer(asked_ms=12_000, is_ready=True),),
        delays=(delay,),
    )

    assert laws_broken_by(changed) == broken


@pytest.mark.parametrize(("delayed_ms", "broken"), [(1_000, {ABLE}), (4_500, set())])
def test_a_command_may_take_longer_by_as_much_as_the_machine_stood_still(
    delayed_ms: int, broken: set[str]
) -> None:
    history = a_whole_release()
    *others, last = history.commands
    slow = last.model_copy(update={"answered_ms": last.sent_ms + 9_000})
    delay = LoopDelay(first_ms=last.sent_ms + 100, last_ms=last.sent_ms + 100 + delayed_ms)

    assert laws_broken_by(replace(history, commands=(*others, slow), delays=(delay,))) == broken


async def test_a_loop_that_is_held_up_is_recorded() -> None:
    delays: list[LoopDelay] = []
    watching = asyncio.create_task(watch_loop(delays))
    await asyncio.sleep(0)

    time.sleep(LOOK_EVERY_SECONDS + 2 * DELAY_MS_MIN / 1_000)  # noqa: ASYNC251 (it is what is watched for)
    await eventually(lambda: delays, "the delay is recorded")
    await cancel_and_wait(watching)

    assert delays[0].last_ms - delays[0].first_ms >= DELAY_MS_MIN


def test_a_run_that_fills_the_disk_ends(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 10_000)

    (tmp_path / "removed").symlink_to(tmp_path / "nothing")  # as a file that is gone when it is looked at
    check_size(tmp_path)
    with pytest.raises(OSError, match="more than 5000"):
        check_size(tmp_path, 5_000)


def _answer(*, asked_ms: int, is_ready: bool) -> ReadinessAnswer:
    return ReadinessAnswer(
        process="scheduler-1",
        life=1,
        host="host1",
        asked_ms=asked_ms,
        answered_ms=asked_ms + 5,
        is_ready=is_ready,
    )
