"""The actions that a trigger keeps: the newest ones, as far as a message has room for them."""

from ..contracts.feature import ACTIONS_MAX, Action, EncodedActions
from .message_limits import ACTIONS_BYTES_MAX


def bounded_actions(actions: tuple[Action, ...]) -> EncodedActions:
    """Return the newest actions, and the newest one of each type: some say since when something counts."""
    known = EncodedActions.of(actions)
    first = len(known) - _count_fitting(known.encoded[-ACTIONS_MAX:])
    if first == 0:
        return known
    types = known.types
    last_of_type = [index for index in range(first) if types[index] not in types[index + 1 :]]
    return known.only(last_of_type, first)


def _count_fitting(encoded: tuple[bytes, ...]) -> int:
    """Return how many actions, from the newest one back, have the bytes that are allowed."""
    if sum(map(len, encoded)) <= ACTIONS_BYTES_MAX:
        return len(encoded)
    left = ACTIONS_BYTES_MAX
    for count, action in enumerate(reversed(encoded)):
        left -= len(action)
        if left < 0:
            return count
    return len(encoded)
