"""What people were answered is compared with who sent it, when, and the state that it was decided on."""

from dataclasses import replace

import pytest

from sluiceway.contracts.commands import AdvancePhase
from sluiceway.contracts.replies import Outcome, RefusalCode
from tests.chaos.history import History, StoredEvent

from .histories import BAKE_MS, a_release, a_whole_release, laws_broken_by

ANSWERS = "every answered command is in the log once, no refused one is"
FRESH = "nobody is refused because of an old state"


@pytest.mark.parametrize(
    "changes",
    [{"actor_id": "mallory"}, {"reason": None}, {"reason": "another"}],
    ids=["another actor", "no reason", "another reason"],
)
def test_an_event_that_differs_from_its_command_is_found(changes: dict[str, object]) -> None:
    assert laws_broken_by(_with_first_event(**changes)) == {ANSWERS}


def test_an_event_of_another_feature_than_that_of_its_command_is_found() -> None:
    history = a_whole_release()
    first, *others = history.commands
    moved = first.model_copy(update={"feature": "gate.another"})

    assert laws_broken_by(replace(history, commands=(moved, *others))) == {ANSWERS}


def test_an_event_in_the_name_of_somebody_who_did_not_send_it_is_found() -> None:
    history = a_whole_release()

    broken = laws_broken_by(replace(history, commands=history.commands[1:]))

    assert broken == {ANSWERS}


def test_what_time_and_the_monitor_do_needs_no_command_of_a_person() -> None:
    recorded = a_release()
    recorded.act(AdvancePhase, after_ms=BAKE_MS)

    assert ANSWERS not in laws_broken_by(recorded.hold_at_last())


@pytest.mark.parametrize(
    ("sent_ms", "answered_ms", "broken"),
    [(-2, 10, set()), (-2, 2, set()), (-2, -1, {ANSWERS}), (9_000, 9_010, {ANSWERS})],
    ids=["as it should be", "rounded", "answered before it was stored", "sent after it was stored"],
)
def test_a_command_that_is_not_stored_while_it_is_under_way_is_found(
    sent_ms: int, answered_ms: int, broken: set[str]
) -> None:
    history = a_whole_release()
    time_ms = history.events[0].event.time_ms
    first, *others = history.commands
    times = {"sent_ms": time_ms + sent_ms, "answered_ms": time_ms + answered_ms}
    changed = first.model_copy(update=times)

    found = laws_broken_by(replace(history, commands=(changed, *others)))

    assert found - {"no event is older than its command"} == broken


@pytest.mark.parametrize(
    ("revision", "waited_ms", "broken"),
    [(5, 0, set()), (4, 0, {FRESH}), (4, 5_000, set()), (None, 0, set()), (99, 0, {FRESH})],
    ids=["the newest", "replaced before", "replaced meanwhile", "not decided", "not in the log"],
)
def test_a_refusal_because_of_a_state_that_was_replaced_before_is_found(
    revision: int | None, waited_ms: int, broken: set[str]
) -> None:
    history = a_whole_release()
    *others, refused = history.commands
    changed = refused.model_copy(
        update={"revision": revision, "sent_ms": history.events[-1].stored_ms + 50 - waited_ms}
    )

    assert laws_broken_by(replace(history, commands=(*others, changed))) == broken


def test_a_refusal_that_knows_nothing_of_a_feature_with_a_history_is_found() -> None:
    history = a_whole_release()
    *others, refused = history.commands
    ignorant = refused.model_copy(update={"revision": None, "refusal": RefusalCode.UNKNOWN_FEATURE})

    assert laws_broken_by(replace(history, commands=(*others, ignorant))) == {FRESH}


def test_an_answer_that_nothing_has_changed_is_compared_as_well() -> None:
    history = a_whole_release()
    *others, refused = history.commands
    old = refused.model_copy(update={"outcome": Outcome.UNCHANGED, "refusal": None, "revision": 2})

    assert laws_broken_by(replace(history, commands=(*others, old))) == {FRESH}


def _with_first_event(**changes: object) -> History:
    """Return a whole release whose first event was stored like this."""
    history = a_whole_release()
    first, *others = history.events
    changed: StoredEvent = first.model_copy(update={"event": first.event.model_copy(update=changes)})
    return replace(history, events=(changed, *others))
