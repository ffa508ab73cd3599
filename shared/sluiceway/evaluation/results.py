"""What an evaluation answers: the value, and where it came from."""

import copy
from enum import StrEnum
from typing import NamedTuple, TypeVar, overload

from pydantic import JsonValue


class Reason(StrEnum):
    """Why an answer is what it is."""

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
    #: the rules hold something that cannot be evaluated
    UNSUPPORTED = "unsupported"
    #: there is no such feature here
    UNRECOGNIZED = "unrecognized"
    #: the evaluation failed; the log says why
    ERROR = "error"
    #: a test said so
    OVERRIDE = "override"


class Evaluation(NamedTuple):
    """An answer, and where it came from. Its value must not be changed: it is everybody's."""

    value: JsonValue
    #: The rule that decided; `default` or `disabled` where none did.
    rule_id: str
    reason: Reason
    #: Sequence of the event in FEATURES that the rules came from; 0 for an unknown feature.
    revision: int = 0
    #: The trigger that released the version that answered.
    trigger: str | None = None


T = TypeVar("T")


class Config:
    """A user's value of a dynamic config, with getters that fall back on a mismatch.

    It cannot be changed; what it gives out may be.
    """

    __slots__ = ("evaluation",)

    def __init__(self, evaluation: Evaluation) -> None:
        #: The answer in full.
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
        """Return a member; `default` where it is missing, or of another type than `default`.

        An integer stands in for a float. A `default` of None accepts any type.
        """
        value = self._value.get(key, default)
        if default is None or value is default or type(value) is type(default):
            return copy.deepcopy(value) if isinstance(value, dict | list) else value
        if isinstance(default, float) and type(value) is int:
            return float(value)
        return default

    def get_bool(self, key: str, default: bool = False) -> bool:
        """Return a boolean member; `default` where there is none."""
        return self.get(key, default)

    def get_str(self, key: str, default: str = "") -> str:
        """Return a string member; `default` where there is none."""
        return self.get(key, default)

    def get_int(self, key: str, default: int = 0) -> int:
        """Return an integer member; `default` where there is none."""
        return self.get(key, default)

    def get_float(self, key: str, default: float = 0.0) -> float:
        """Return a number; `default` where there is none."""
        return self.get(key, default)

    def get_list(self, key: str, default: list[JsonValue] | None = None) -> list[JsonValue]:
        """Return a copy of a list; `default` (empty, where absent) where there is none."""
        return self.get(key, [] if default is None else default)

    def get_dict(self, key: str, default: dict[str, JsonValue] | None = None) -> dict[str, JsonValue]:
        """Return a copy of an object; `default` (empty, where absent) where there is none."""
        return self.get(key, {} if default is None else default)

    def __eq__(self, other: object) -> bool:
        return self.evaluation == other.evaluation if isinstance(other, Config) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it holds a JSON value

    def __repr__(self) -> str:
        return f"Config({self.evaluation.value!r}, rule_id={self.rule_id!r})"

    @property
    def _value(self) -> dict[str, JsonValue]:
        value = self.evaluation.value
        return value if isinstance(value, dict) else {}
