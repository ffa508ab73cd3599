"""The actions that a trigger keeps: the newest ones, as far as a message has room for them."""

from ..contracts.feature import ACTIONS_MAX, Action
from .message_limits import ACTIONS_BYTES_MAX

#: Bytes of a character in JSON: a control character is `\\u001f`.
CHARACTER_BYTES_MAX = 6
#: Bytes of an action, or of a name in it, beside its texts.
REST_BYTES_MAX = 200


def bounded_actions(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """Return the newest actions, and the newest one of each type: some say since when something counts."""
    newest = actions[-ACTIONS_MAX:]
    fits = bytes_at_most(newest) <= ACTIONS_BYTES_MAX
    first = len(actions) - (len(newest) if fits else _count_fitting(newest))
    if first == 0:
        return actions
    last_of_type = (
        action
        for index, action in enumerate(actions[:first], 1)
        if not any(later.type is action.type for later in actions[index:])
    )
    return (*last_of_type, *actions[first:])


def bytes_at_most(actions: tuple[Action, ...]) -> int:
    """Return a number that is not below the bytes of actions, fast: it is asked at each step."""
    texts = 0
    for action in actions:
        texts += len(action.actor_id)
        if action.phase_id:
            texts += len(action.phase_id)
        if action.reason:
            texts += len(action.reason)
        if action.overrode:
            texts += sum(len(name) + REST_BYTES_MAX for name in action.overrode)
    return texts * CHARACTER_BYTES_MAX + len(actions) * REST_BYTES_MAX


def _count_fitting(actions: tuple[Action, ...]) -> int:
    """Return how many actions, from the newest one back, have the bytes that are allowed."""
    left = ACTIONS_BYTES_MAX
    for count, action in enumerate(reversed(actions)):
        left -= len(action.to_json())
        if left < 0:
            return count
    return len(actions)
