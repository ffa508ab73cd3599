"""Rules, feature, user → answer."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from pydantic import JsonValue

from ..contracts.identifiers import FeatureKey, FeatureKind
from ..contracts.rules import RuleDocument
from .compile import Answer, Reason, compile_document
from .users import User


class Evaluation(NamedTuple):
    """An answer, and where it came from."""

    value: JsonValue
    #: The rule that decided; `default` or `disabled` where none did.
    rule_id: str
    reason: Reason
    #: Sequence of the event in FEATURES that the rules came from; 0 for an unknown feature.
    revision: int
    #: The trigger that released the version that answered.
    trigger: str | None


class _Compiled(NamedTuple):
    answer: Callable[[User], Answer]
    revision: int
    trigger: str | None
    is_partly_released: bool


class RuleSet:
    """The compiled rules of many features; any thread may read while one writes."""

    def __init__(self, *, environment: str | None = None) -> None:
        self._environment = environment
        # A feature is replaced by one assignment into the dictionary, which is atomic: a reader
        # sees the old rules or the new ones. What it costs does not depend on the other features.
        self._features: dict[FeatureKey, _Compiled] = {}

    def apply(self, document: RuleDocument) -> None:
        """Compile a document, and put it in place of what was there."""
        self._features[document.key] = _Compiled(
            compile_document(document, environment=self._environment),
            document.revision,
            document.trigger,
            bool(document.specs.overrides),
        )

    def remove(self, key: FeatureKey) -> None:
        """Forget a feature."""
        self._features.pop(key, None)

    def gate(self, user: User, name: str) -> Evaluation:
        """Return a gate's answer; false where it is not known."""
        return self._evaluate(FeatureKey(FeatureKind.GATE, name), user, False)

    def config(self, user: User, name: str) -> Evaluation:
        """Return a dynamic config's answer; empty where it is not known."""
        return self._evaluate(FeatureKey(FeatureKind.DYNAMIC_CONFIG, name), user, {})

    def __contains__(self, key: FeatureKey) -> bool:
        return key in self._features

    def __iter__(self) -> Iterator[FeatureKey]:
        return iter(tuple(self._features))

    def __len__(self) -> int:
        return len(self._features)

    def _evaluate(self, key: FeatureKey, user: User, unknown: JsonValue) -> Evaluation:
        feature = self._features.get(key)
        if feature is None:
            return Evaluation(unknown, "", Reason.UNRECOGNIZED, 0, None)
        value, rule_id, reason, is_override = feature.answer(user)
        from_base = feature.is_partly_released and not is_override
        return Evaluation(value, rule_id, reason, feature.revision, None if from_base else feature.trigger)
