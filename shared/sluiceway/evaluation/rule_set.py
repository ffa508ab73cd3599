"""Evaluation of features: rules, feature, user → value."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from ..contracts.identifiers import FeatureKey, FeatureKind
from ..contracts.rule_document import RuleDocument
from .compiled_conditions import ProcessContext
from .compiler import compile_document
from .nested_gates import Evaluator
from .outcomes import UNRECOGNIZED, EvaluationOutcome
from .registry import FeatureRegistry, LazyEvaluator
from .results import Config, Evaluation, Reason
from .users import AnyUser

#: For unknown features, and for those whose evaluation failed.
NO_GATE = Evaluation(False, "", Reason.UNRECOGNIZED)
NO_CONFIG = Config(UNRECOGNIZED.evaluation)
NOT_READY_GATE = Evaluation(False, "", Reason.NOT_READY)
NOT_READY_CONFIG = Config(Evaluation({}, "", Reason.NOT_READY))
FAILED_GATE = Evaluation(False, "", Reason.ERROR)
FAILED_CONFIG = Config(Evaluation({}, "", Reason.ERROR))


class RuleSet:
    """The rules of many features; any thread may read while one writes.

    A check never raises: if a user or a rule makes it fail, the value is false or empty, its reason is
    `ERROR`, and `on_failure` is called with the error.
    """

    def __init__(self, process: ProcessContext) -> None:
        self.on_failure: Callable[[str, Exception], None] = lambda name, error: None
        self._process = process
        #: What is said of an unknown feature.
        self._no_gate, self._no_config = NO_GATE, NO_CONFIG
        self._features: set[FeatureKey] = set()
        #: Feature → names of the id lists that came with it.
        self._lists_of: dict[FeatureKey, frozenset[str]] = {}
        #: What the rules may refer to by name, as it is now.
        self.registry = registry = FeatureRegistry()
        self._gates = registry.gates
        self._configs = registry.configs

    def apply(self, document: RuleDocument, text: bytes | None = None) -> None:
        """Replace a feature's rules; they are compiled when they are first used.

        `text` is the JSON that the document was read from. It is kept instead of a tree of objects,
        which a process never needs for most of its features.

        The replacement is one assignment into a dictionary, which is atomic: a reader sees the old
        rules or the new ones. Its cost does not depend on the other features.
        """
        key = document.key
        named, name = self._named(key.kind), key.spec_name
        self._replace_lists(key, document.specs.member_lists)
        self._features.add(key)
        if document.has_spec:
            named[name] = LazyEvaluator(self._compile, text or document.to_json())
        else:
            named.pop(name, None)

    def remove(self, key: FeatureKey) -> None:
        """Remove a feature's rules."""
        self._features.discard(key)
        self._replace_lists(key, {})
        self._named(key.kind).pop(key.spec_name, None)

    def wait(self) -> None:
        """Say of every feature that nothing is known of it yet, until the rules are there."""
        self._no_gate, self._no_config = NOT_READY_GATE, NOT_READY_CONFIG

    def ready(self) -> None:
        """Say of features without rules that they are unknown."""
        self._no_gate, self._no_config = NO_GATE, NO_CONFIG

    def become(self, other: "RuleSet") -> None:
        """Replace all rules by those of another set, which must not be changed afterwards."""
        self._features, self._lists_of = other._features, other._lists_of
        self.registry = other.registry
        self._gates, self._configs = other._gates, other._configs

    def check_gate(self, user: AnyUser, name: str) -> bool:
        """Return whether a user passes a gate; false if the gate is unknown."""
        entry = self._gates.get(name)
        if entry is None:
            return False
        try:
            return entry.evaluate(user, None).passes
        except Exception as error:
            self.on_failure(name, error)
            return False

    def get_config(self, user: AnyUser, name: str) -> Config:
        """Return a user's value of a dynamic config; empty if the config is unknown."""
        entry = self._configs.get(name)
        if entry is None:
            return self._no_config
        try:
            return entry.evaluate(user, None).config or self._no_config
        except Exception as error:
            self.on_failure(name, error)
            return FAILED_CONFIG

    def gate(self, user: AnyUser, name: str) -> Evaluation:
        """Return whether a user passes a gate, and why."""
        entry = self._gates.get(name)
        if entry is None:
            return self._no_gate
        try:
            return _as_gate(entry.evaluate(user, None))
        except Exception as error:
            self.on_failure(name, error)
            return FAILED_GATE

    def config(self, user: AnyUser, name: str) -> Evaluation:
        """Return a user's value of a dynamic config, and why."""
        return self.get_config(user, name).evaluation

    def __contains__(self, key: FeatureKey) -> bool:
        return key in self._features

    def __iter__(self) -> Iterator[FeatureKey]:
        return iter(tuple(self._features))

    def __len__(self) -> int:
        return len(self._features)

    def _replace_lists(self, key: FeatureKey, lists: Mapping[str, Iterable[str]]) -> None:
        """Replace the id lists of a feature; most have none."""
        if not lists and key not in self._lists_of:
            return
        self.registry.id_lists.update((name, frozenset(members)) for name, members in lists.items())
        for name in self._lists_of.pop(key, frozenset()) - lists.keys():
            self.registry.id_lists.pop(name, None)
        if lists:
            self._lists_of[key] = frozenset(lists)

    def _compile(self, text: bytes) -> Evaluator:
        document = RuleDocument.model_validate_json(text, extra="ignore")
        compiled = compile_document(document, self._process, self.registry)
        return compiled.of_kind(document.kind)[document.spec_name]

    def _named(self, kind: FeatureKind) -> dict[str, LazyEvaluator]:
        return self._configs if kind is FeatureKind.DYNAMIC_CONFIG else self._gates


def _as_gate(outcome: EvaluationOutcome) -> Evaluation:
    evaluation = outcome.evaluation
    return evaluation if evaluation.value is outcome.passes else evaluation._replace(value=outcome.passes)
