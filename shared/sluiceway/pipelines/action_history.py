"""The actions that a trigger keeps: the newest ones, as far as a message has room for them."""

from ..contracts.feature import ACTIONS_MAX, Action
from .message_limits import ACTIONS_BYTES_MAX


def bounded_actions(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """Return the newest actions, and the newest one of each type: some say since when something counts."""
    first = len(actions) - _count_fitting(actions[-ACTIONS_MAX:])
    if first == 0:
        return actions
    types = [action.type for action in actions]
    last_of_type = (
        action for index, action in enumerate(actions[:first]) if action.type not in types[index + 1 :]
    )
    return (*last_of_type, *actions[first:])


def _count_fitting(actions: tuple[Action, ...]) -> int:
    """Return how many actions, from the newest one back, have the bytes that are allowed."""
    if sum([len(action.stored_json) for action in actions]) <= ACTIONS_BYTES_MAX:
        return len(actions)
    left = ACTIONS_BYTES_MAX
    for count, action in enumerate(reversed(actions)):
        left -= len(action.stored_json)
        if left < 0:
            return count
    return len(actions)
