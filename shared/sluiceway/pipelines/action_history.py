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
    fits = sum(map(_bytes_at_most, newest)) <= ACTIONS_BYTES_MAX
    first = len(actions) - (len(newest) if fits else _count_fitting(newest))
    if first == 0:
        return actions
    kept = {action.type: index for index, action in enumerate(actions)}.values()
    return (*(actions[index] for index in sorted(kept) if index < first), *actions[first:])


def _bytes_at_most(action: Action) -> int:
    """Return a number that is not below the bytes of an action, fast: it is asked for each at each step."""
    texts = len(action.actor_id) + len(action.phase_id or "") + len(action.reason or "")
    if action.overrode:
        texts += sum(len(name) + REST_BYTES_MAX for name in action.overrode)
    return texts * CHARACTER_BYTES_MAX + REST_BYTES_MAX


def _count_fitting(actions: tuple[Action, ...]) -> int:
    """Return how many actions, from the newest one back, have the bytes that are allowed."""
    left = ACTIONS_BYTES_MAX
    for count, action in enumerate(reversed(actions)):
        left -= len(action.to_json())
        if left < 0:
            return count
    return len(actions)
