"""The table of actions covers every command, event and action of a release."""

from itertools import chain

from sluiceway.contracts.commands import PUBLIC_COMMANDS, AdvancePhase, TriggerCommand
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import ActionType, TriggerStatus
from sluiceway.pipelines.actions import ACTIONS, MANUAL_ACTIONS, possible_actions

#: What is recorded without an action, or by a variant of one.
STARTS = {EventType.FEATURE_CHANGED, EventType.FEATURE_ARCHIVED, EventType.TRIGGER_STARTED}
VARIANTS = {
    EventType.APPROVAL_GIVEN: ActionType.APPROVED_FOR,
    EventType.PHASE_HELD: ActionType.HELD,
    EventType.TRIGGER_COMPLETED: ActionType.COMPLETED,
    EventType.PHASE_ROLLED_BACK: ActionType.PHASE_ROLLED_BACK,
}


def test_every_command_to_a_trigger_has_a_row() -> None:
    commands = {model for model in PUBLIC_COMMANDS if issubclass(model, TriggerCommand)}

    assert ACTIONS.keys() == commands | {AdvancePhase}


def test_every_event_and_action_type_is_recorded_by_somebody() -> None:
    events = {action.event for action in ACTIONS.values()}
    actions = {action.action for action in ACTIONS.values()}

    assert events | VARIANTS.keys() | STARTS == set(EventType)
    assert actions | set(VARIANTS.values()) | {ActionType.STARTED} == set(ActionType)


def test_no_two_rows_record_the_same() -> None:
    rows = ACTIONS.values()

    assert len({row.event for row in rows}) == len({row.action for row in rows}) == len(rows)


def test_only_active_statuses_allow_an_action() -> None:
    allowed = chain.from_iterable((row.statuses | row.guardrail_statuses) for row in ACTIONS.values())

    assert all(status.is_active for status in allowed)


def test_what_is_possible_depends_on_the_status() -> None:
    assert possible_actions(TriggerStatus.IN_PROGRESS)[:2] == ("pause", "skip")
    assert "approve" in possible_actions(TriggerStatus.WAITING_FOR_REVIEW)
    assert possible_actions(TriggerStatus.COMPLETED) == ()


def test_people_do_not_roll_back_or_advance() -> None:
    assert not {"roll_back", "advance"} & MANUAL_ACTIONS.keys()
