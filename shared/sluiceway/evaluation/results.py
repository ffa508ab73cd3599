"""Result of an evaluation: the value, and where it came from."""

import copy
from enum import StrEnum
from typing import NamedTuple, TypeVar, overload

from pydantic import JsonValue


class Reason(StrEnum):
    """Why an evaluation has this value."""

    #: a rule matched
    RULE = "rule"
    #: a rule matched, and its percentage decided
    SPLIT = "split"
    #: no rule matched
    DEFAULT = "default"
    #: there are no rules: everyone gets the same
    STATIC = "static"
    #: the feature is switched off
    DISABLED = "disabled"
    #: a rule has a condition that this version cannot evaluate
    UNSUPPORTED = "unsupported"
    #: the feature is unknown here
    UNRECOGNIZED = "unrecognized"
    #: the rules have not arrived yet, so that nothing is known
    NOT_READY = "not_ready"
    #: the evaluation failed; the log has the error
    ERROR = "error"
    #: a test set the value
    OVERRIDE = "override"


class Evaluation(NamedTuple):
    """A value, and where it came from. Do not change the value: all checks share it."""

    value: JsonValue
    #: The rule that decided; `default` or `disabled` if none did.
    rule_id: str
    reason: Reason
    #: Sequence of the event in FEATURES that the rules came from; 0 for an unknown feature.
    revision: int = 0
    #: The trigger that released the version that was evaluated.
    trigger: str | None = None


T = TypeVar("T")


class Config:
    """A user's value of a dynamic config, with getters that fall back on a mismatch.

    It cannot be changed; objects and lists that it returns are copies.
    """

    __slots__ = ("evaluation",)

    def __init__(self, evaluation: Evaluation) -> None:
        #: The value with its rule, reason, revision and trigger.
        self.evaluation = evaluation

    @property
    def value(self) -> dict[str, JsonValue]:
        """The whole object; a copy."""
        return copy.deepcopy(self._value)

    @property
    def rule_id(self) -> str:
        return self.evaluation.rule_id

    @property
    def reason(self) -> Reason:
        return self.evaluation.reason

    @overload
    def get(self, key: str, default: T) -> T: ...
    @overload
    def get(self, key: str) -> JsonValue: ...
    def get(self, key: str, default: object = None) -> object:
        """Return a member; `default` if it is missing, or of another type than `default`.

        An integer is accepted for a float. A `default` of None accepts any type.
        """
        value = self._value.get(key, default)
        if default is None or value is default or type(value) is type(default):
            return copy.deepcopy(value) if isinstance(value, dict | list) else value
        if isinstance(default, float) and type(value) is int:
            return float(value)
        return default

    def get_bool(self, key: str, default: bool = False) -> bool:
        """Return a boolean member; `default` if there is none."""
        return self.get(key, default)

    def get_str(self, key: str, default: str = "") -> str:
        """Return a string member; `default` if there is none."""
        return self.get(key, default)

    def get_int(self, key: str, default: int = 0) -> int:
        """Return an integer member; `default` if there is none."""
        return self.get(key, default)

    def get_float(self, key: str, default: float = 0.0) -> float:
        """Return a number; `default` if there is none."""
        return self.get(key, default)

    def get_list(self, key: str, default: list[JsonValue] | None = None) -> list[JsonValue]:
        """Return a copy of a list; `default` (if absent: an empty one) if there is none."""
        return self.get(key, [] if default is None else default)

    def get_dict(self, key: str, default: dict[str, JsonValue] | None = None) -> dict[str, JsonValue]:
        """Return a copy of an object; `default` (if absent: an empty one) if there is none."""
        return self.get(key, {} if default is None else default)

    def __eq__(self, other: object) -> bool:
        return self.evaluation == other.evaluation if isinstance(other, Config) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # a JSON value has no hash

    def __repr__(self) -> str:
        return f"Config({self.evaluation.value!r}, rule_id={self.rule_id!r})"

    @property
    def _value(self) -> dict[str, JsonValue]:
        value = self.evaluation.value
        return value if isinstance(value, dict) else {}
