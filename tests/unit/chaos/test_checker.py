"""The checker finds each fault in a history that has it, and nothing in one without."""

from dataclasses import replace

import pytest

from sluiceway.contracts.commands import AbortTrigger, AdvancePhase, ArchiveFeature, RollBackTrigger
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.replies import Outcome, RefusalCode
from tests.chaos import checker
from tests.chaos.history import (
    Fault,
    History,
    ProcessEnd,
    ReadinessAnswer,
    SeenEvent,
    SentAlert,
    SentCommand,
    StoredEvent,
    StuckRelease,
)
from tests.chaos.region_laws import REPLACED_MS

from .histories import BAKE_MS, GATE, RECORDED, a_release, a_whole_release, laws_broken_by

ANSWERS = "every answered command is in the log once, no refused one is"
FRESH = "nobody is refused because of an old state"
LOG = "the log is in order: actors, times, one release at a time, no phase early"
APPEND_ONLY = "the log is only appended to"
TIMES = "no event is older than its command"
REGIONS = "a region has what was released there, and only then"
FORWARD = "what an edge serves moves forward"
CONVERGENCE = "all edges end with what the log says"
RELEASES = "releases get on, and alerts take them back"
PROCESSES = "no process ends by itself, stays unready, or does not stop"
BELIEFS = "nobody takes a broker that is behind for a store that lost something"
INTERNAL = "no process logs an internal error"
SERVING = "an edge goes on serving"
READINESS = "who is cut off is not ready"
CALM = "who is not disturbed is ready"
ABLE = "if all are ready, commands are answered"


def test_a_release_as_it_should_be_has_no_findings() -> None:
    assert checker.check(a_whole_release()) == []


def test_the_laws_of_these_tests_are_those_of_the_checker() -> None:
    laws = [
        ANSWERS,
        FRESH,
        LOG,
        APPEND_ONLY,
        TIMES,
        REGIONS,
        FORWARD,
        CONVERGENCE,
        RELEASES,
        PROCESSES,
        BELIEFS,
        INTERNAL,
        SERVING,
        READINESS,
        CALM,
        ABLE,
        RECORDED,
    ]

    assert laws == [law.text for law in checker.LAWS]


def test_an_answered_command_that_the_log_lacks_is_found() -> None:
    history = a_whole_release()

    broken = laws_broken_by(replace(history, events=history.events[1:]))

    assert ANSWERS in broken


def test_a_command_that_is_stored_twice_is_found() -> None:
    history = a_whole_release()
    last = history.events[-1]
    twice = last.model_copy(
        update={"sequence": 9, "event": last.event.model_copy(update={"command_id": history.commands[0].id})}
    )

    assert laws_broken_by(replace(history, events=(*history.events, twice))) == {ANSWERS, LOG}


def test_what_time_has_done_twice_is_found() -> None:
    history = a_whole_release()
    advanced = history.events[2]
    again = advanced.model_copy(update={"sequence": 9})

    assert LOG in laws_broken_by(replace(history, events=(*history.events, again)))


def test_a_refused_command_that_is_stored_is_found() -> None:
    assert laws_broken_by(_with_answer(outcome=Outcome.REFUSED, refusal=RefusalCode.STALE_PHASE)) == {ANSWERS}


def test_a_command_that_nobody_answered_is_found() -> None:
    assert laws_broken_by(_with_answer(answered_ms=None, outcome=None)) == {ANSWERS}


def test_an_answer_that_names_another_revision_is_found() -> None:
    assert laws_broken_by(_with_answer(revision=4)) == {ANSWERS}


def test_a_command_that_was_applied_before_may_name_a_later_revision_only() -> None:
    resent = {"outcome": Outcome.UNCHANGED, "is_resent": True}

    assert laws_broken_by(_with_answer(revision=4, **resent)) == set()
    assert laws_broken_by(_with_answer(revision=1, **resent)) == {ANSWERS}


def test_a_phase_that_starts_before_the_bake_is_over_is_found() -> None:
    history = a_whole_release()
    approved = history.events[3].event
    assert approved.feature.trigger
    first, second = approved.feature.trigger.phases
    early = second.model_copy(update={"started_ms": first.started_ms})

    assert laws_broken_by(_with_phases(history, first, early)) == {LOG}


def test_a_phase_that_starts_without_approval_is_found() -> None:
    history = a_whole_release()
    trigger = history.events[-1].event.feature.trigger
    assert trigger
    first, second = trigger.phases

    assert laws_broken_by(_with_phases(history, first, second.model_copy(update={"approvals": ()}))) == {LOG}


def test_a_second_active_release_is_found() -> None:
    recorded = a_release()
    started = recorded.history.events[-1]
    again = started.model_copy(
        update={"sequence": 3, "event": started.event.model_copy(update={"command_id": "another"})}
    )

    broken = laws_broken_by(replace(recorded.history, events=(*recorded.history.events, again)))

    assert LOG in broken


@pytest.mark.parametrize(
    "event",
    [{"actor_id": ""}, {"command_id": ""}, {"time_ms": 1}, {"time_ms": 10**12}],
    ids=["no actor", "no command", "before the one before it", "after it was stored"],
)
def test_an_event_without_an_actor_or_with_an_impossible_time_is_found(event: dict[str, object]) -> None:
    history = a_whole_release()
    last = history.events[-1]
    odd = last.model_copy(update={"event": last.event.model_copy(update=event)})

    assert LOG in laws_broken_by(replace(history, events=(*history.events[:-1], odd)))


def test_an_event_that_is_older_than_its_command_is_found() -> None:
    history = a_whole_release()
    late = tuple(sent.model_copy(update={"sent_ms": sent.sent_ms + 10_000}) for sent in history.commands)

    assert laws_broken_by(replace(history, commands=late)) == {ANSWERS, TIMES}


def test_a_candidate_in_a_region_that_no_started_phase_covers_is_found() -> None:
    recorded = a_release()
    recorded.serve("eu", versions=(2,))

    assert REGIONS in laws_broken_by(recorded.history)


def test_rules_that_are_not_what_their_event_projects_to_are_found() -> None:
    recorded = a_release()
    recorded.serve("dev", versions=(2,), checksum="another")
    nothing = recorded.history.served[-1].model_copy(update={"versions": ()})

    assert REGIONS in laws_broken_by(recorded.history)
    assert REGIONS in laws_broken_by(replace(recorded.history, served=(nothing,)))


@pytest.mark.parametrize(("late_ms", "is_found"), [(1_000, False), (REPLACED_MS + 1_000, True)])
def test_a_region_that_does_not_get_what_was_released_there_is_found(late_ms: int, is_found: bool) -> None:
    recorded = a_release()
    started_ms = recorded.history.events[-1].stored_ms
    recorded.serve("dev", revision=1, last_ms=started_ms + late_ms)

    assert (REGIONS in laws_broken_by(recorded.history)) == is_found


def test_rules_that_are_served_before_their_event_is_stored_are_found() -> None:
    recorded = a_release()
    recorded.serve("dev", versions=(2,), first_ms=recorded.history.events[-1].stored_ms - 500)

    assert REGIONS in laws_broken_by(recorded.history)


def test_rules_of_an_event_that_the_log_lacks_are_found() -> None:
    recorded = a_release()
    recorded.serve("dev", versions=(2,)).model_copy()
    lost = recorded.history.served[-1].model_copy(update={"revision": 99})

    assert REGIONS in laws_broken_by(replace(recorded.history, served=(lost,)))


@pytest.mark.parametrize(("late_ms", "is_found"), [(1_000, False), (REPLACED_MS + 1_000, True)])
def test_a_candidate_that_stays_after_an_abort_is_found(late_ms: int, is_found: bool) -> None:
    recorded = a_release()
    recorded.act(AbortTrigger)
    stored_ms = recorded.history.events[-1].stored_ms
    recorded.serve("dev", revision=2, versions=(2,), last_ms=stored_ms + late_ms)

    assert laws_broken_by(recorded.hold_at_last()) == ({REGIONS} if is_found else set())


@pytest.mark.parametrize(
    "changes", [{}, {"life": 2}, {"epoch": 2}], ids=["while it runs", "started again", "in a newer epoch"]
)
def test_an_edge_that_goes_back_is_found(changes: dict[str, object]) -> None:
    history = a_whole_release()
    newest = history.served[-1]
    (older,) = (served for served in history.served if (served.edge, served.revision) == (newest.edge, 1))
    older = older.model_copy(update={"first_ms": newest.last_ms + 1, **changes})

    assert laws_broken_by(replace(history, served=(*history.served, older))) == {FORWARD}


def test_an_edge_that_drops_a_feature_is_found() -> None:
    recorded = a_release()
    recorded.serve("dev", versions=(2,), absent_ms=recorded.history.events[-1].stored_ms + 1_000)

    assert REGIONS in laws_broken_by(recorded.history)


def test_a_feature_that_was_archived_may_be_dropped() -> None:
    recorded = a_release()
    recorded.act(AbortTrigger)
    recorded.send(ArchiveFeature(actor="ada", kind=FeatureKind.GATE, name="checkout"))
    archived_ms = recorded.history.events[-1].stored_ms
    recorded.serve("dev", revision=3, absent_ms=archived_ms + 100)

    assert laws_broken_by(recorded.hold_at_last()) == set()


@pytest.mark.parametrize(
    ("changes", "broken"),
    [({}, set()), ({"command_id": "another"}, {APPEND_ONLY}), ({"sequence": 99}, {APPEND_ONLY})],
    ids=["unchanged", "another one", "gone"],
)
def test_an_event_that_was_read_and_is_not_there_any_more_is_found(
    changes: dict[str, object], broken: set[str]
) -> None:
    history = a_whole_release()
    last = history.events[-1]
    seen = SeenEvent(
        sequence=last.sequence, command_id=last.event.command_id, time_ms=last.event.time_ms
    ).model_copy(update=changes)

    assert laws_broken_by(replace(history, seen=(seen,))) == broken


def test_an_edge_that_ends_with_other_rules_or_none_is_found() -> None:
    history = a_whole_release()
    first, *others = history.final
    wrong = first.model_copy(update={"checksum": "another"})
    extra = first.model_copy(update={"feature": "gate.unknown"})

    assert laws_broken_by(history.with_final(())) == {CONVERGENCE}
    assert laws_broken_by(history.with_final((wrong, *others))) == {CONVERGENCE}
    assert laws_broken_by(history.with_final((*history.final, extra))) == {CONVERGENCE}


def test_a_release_that_did_not_get_on_is_found() -> None:
    stuck = StuckRelease(trigger=f"{GATE}.1", time_ms=1, state="IN_PROGRESS in dev")

    assert laws_broken_by(replace(a_whole_release(), stuck=(stuck,))) == {RELEASES}
    assert laws_broken_by(a_release().hold_at_last()) == {RELEASES}


def test_an_alert_that_took_nothing_back_is_found() -> None:
    alert = SentAlert(trigger=f"{GATE}.1", acknowledged_ms=1)
    recorded = a_release()
    recorded.act(AdvancePhase, after_ms=BAKE_MS)
    recorded.act(RollBackTrigger)

    assert laws_broken_by(replace(recorded.hold_at_last(), alerts=(alert,))) == set()
    assert laws_broken_by(replace(a_whole_release(), alerts=(alert,))) == {RELEASES}


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"signal": "SIGTERM", "code": 0}, set()),
        ({"signal": "SIGKILL", "code": -9}, set()),
        ({"code": 70}, {PROCESSES}),
        ({"signal": "SIGTERM", "code": 70}, {PROCESSES}),
        ({"signal": "SIGTERM", "code": -9, "is_stuck": True}, {PROCESSES}),
    ],
    ids=["asked to", "killed", "by itself", "with an error", "killed since it was stuck"],
)
def test_a_process_that_does_not_end_as_it_should_is_found(
    changes: dict[str, object], broken: set[str]
) -> None:
    end = ProcessEnd.model_validate({"process": "monitor-1", "time_ms": 1, **changes})

    assert laws_broken_by(replace(a_whole_release(), ends=(end,))) == broken


def test_a_process_that_does_not_come_back_is_found() -> None:
    fault = Fault(
        kind="kill", target="monitor-1", started_ms=1, healed_ms=2, unready={"monitor-1": "no answer"}
    )

    assert laws_broken_by(replace(a_whole_release(), faults=(fault,))) == {PROCESSES}


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, {READINESS}),
        ({"is_ready": False}, set()),
        ({"host": "host1"}, set()),
        ({"asked_ms": 5_000}, set()),
        ({"answered_ms": 31_000}, set()),
        ({"process": "edge-dev-1"}, set()),
    ],
    ids=["a lie", "not ready", "another host", "within the bound", "healed meanwhile", "an edge"],
)
def test_a_process_that_says_ready_while_it_is_cut_off_is_found(
    changes: dict[str, object], broken: set[str]
) -> None:
    cut = Fault(
        kind="cut", target="host2", started_ms=0, healed_ms=30_000, ready_ms=31_000, hosts_cut_off=("host2",)
    )
    answer = ReadinessAnswer(
        process="scheduler-2", life=1, host="host2", asked_ms=20_000, answered_ms=20_010, is_ready=True
    ).model_copy(update=changes)

    assert laws_broken_by(replace(a_whole_release(), faults=(cut,), readiness=(answer,))) == broken


@pytest.mark.parametrize(
    ("process", "life", "broken"),
    [("edge-dev-1", 1, {SERVING}), ("edge-dev-1", 2, set()), ("scheduler-1", 1, set())],
    ids=["an edge", "an edge that was started again", "a scheduler"],
)
def test_an_edge_that_stops_serving_is_found(process: str, life: int, broken: set[str]) -> None:
    ready = ReadinessAnswer(process=process, life=1, host="host1", asked_ms=1, answered_ms=2, is_ready=True)
    later = ready.model_copy(update={"life": life, "is_ready": False})

    assert laws_broken_by(replace(a_whole_release(), readiness=(ready, later))) == broken


@pytest.mark.parametrize(
    ("started_ms", "ready_ms", "broken"),
    [(-9_000, -8_000, {ABLE}), (-9_000, 1_000, set()), (1_000, 2_000, set()), (7_000, 8_000, {ABLE})],
    ids=["all were ready", "a fault lasted", "a fault began", "a fault began too late to excuse it"],
)
def test_a_command_that_waits_although_all_are_ready_is_found(
    started_ms: int, ready_ms: int, broken: set[str]
) -> None:
    history = a_whole_release()
    *others, last = history.commands
    slow = last.model_copy(update={"answered_ms": last.sent_ms + 9_000})
    fault = Fault(
        kind="kill",
        target="broker-1",
        started_ms=last.sent_ms + started_ms,
        healed_ms=last.sent_ms + ready_ms,
        ready_ms=last.sent_ms + ready_ms,
    )

    assert laws_broken_by(replace(history, commands=(*others, slow), faults=(fault,))) == broken


def _with_answer(**answer: object) -> History:
    """Return a whole release whose second command was answered like this."""
    history = a_whole_release()
    first, second, *others = history.commands
    changed: SentCommand = second.model_copy(update=answer)
    return replace(history, commands=(first, changed, *others))


def _with_phases(history: History, *phases: object) -> History:
    """Return a history whose last event has these phases."""
    *others, last = history.events
    trigger = last.event.feature.trigger
    assert trigger
    feature = last.event.feature.changed(trigger=trigger.model_copy(update={"phases": phases}))
    event = last.event.model_copy(update={"feature": feature})
    changed: StoredEvent = last.model_copy(update={"event": event})
    return replace(history, events=(*others, changed))
