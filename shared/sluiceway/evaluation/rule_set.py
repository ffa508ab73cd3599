"""Rules, feature, user → answer."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from ..contracts.identifiers import FeatureKey, FeatureKind
from ..contracts.rule_document import RuleDocument
from .compiler import compile_document
from .condition_tests import Host, Library
from .nested_gates import Evaluator, LazyEvaluator
from .outcomes import UNRECOGNIZED, EvaluationOutcome
from .results import Config, Evaluation, Reason
from .users import AnyUser

#: What an unknown feature answers, and one whose evaluation failed.
NO_GATE = Evaluation(False, "", Reason.UNRECOGNIZED)
NO_CONFIG = Config(UNRECOGNIZED.evaluation)
FAILED_GATE = Evaluation(False, "", Reason.ERROR)
FAILED_CONFIG = Config(Evaluation({}, "", Reason.ERROR))


class RuleSet:
    """The rules of many features; any thread may read while one writes.

    A check never raises: where a user or a rule makes it fail, the answer is false or empty, its
    reason is `ERROR`, and `on_failure` hears of it.
    """

    def __init__(self, host: Host) -> None:
        self.on_failure: Callable[[str, Exception], None] = lambda name, error: None
        self._host = host
        self._features: set[FeatureKey] = set()
        self._listed: dict[FeatureKey, frozenset[str]] = {}
        #: What rules may refer to by name, as it is now.
        self.library = library = Library()
        self._gates = library.gates
        self._configs = library.configs

    def apply(self, document: RuleDocument, text: bytes | None = None) -> None:
        """Put a document in place of what was there; it is compiled when it is asked for first.

        `text` is the JSON that it was read from; kept in place of a tree of objects, which most
        features of a process never need.

        That is one assignment into a dictionary, which is atomic: a reader sees the old rules or
        the new ones. What it costs does not depend on the other features.
        """
        named, name = self._named(document.kind), document.spec_name
        self._list(document.key, document.specs.member_lists)
        self._features.add(document.key)
        if document.has_spec:
            named[name] = LazyEvaluator(self._compiled, text or document.to_json())
        else:
            named.pop(name, None)

    def remove(self, key: FeatureKey) -> None:
        """Forget a feature."""
        self._features.discard(key)
        self._list(key, {})
        self._named(key.kind).pop(key.spec_name, None)

    def check_gate(self, user: AnyUser, name: str) -> bool:
        """Return whether a user passes a gate; false where it is not known."""
        entry = self._gates.get(name)
        if entry is None:
            return False
        try:
            return entry.evaluate(user, None).passes
        except Exception as error:
            self.on_failure(name, error)
            return False

    def get_config(self, user: AnyUser, name: str) -> Config:
        """Return a user's value of a dynamic config; empty where it is not known."""
        entry = self._configs.get(name)
        if entry is None:
            return NO_CONFIG
        try:
            return entry.evaluate(user, None).config or NO_CONFIG
        except Exception as error:
            self.on_failure(name, error)
            return FAILED_CONFIG

    def gate(self, user: AnyUser, name: str) -> Evaluation:
        """Return a gate's answer, and where it came from."""
        entry = self._gates.get(name)
        if entry is None:
            return NO_GATE
        try:
            return _as_gate(entry.evaluate(user, None))
        except Exception as error:
            self.on_failure(name, error)
            return FAILED_GATE

    def config(self, user: AnyUser, name: str) -> Evaluation:
        """Return a config's answer, and where it came from."""
        return self.get_config(user, name).evaluation

    def __contains__(self, key: FeatureKey) -> bool:
        return key in self._features

    def __iter__(self) -> Iterator[FeatureKey]:
        return iter(tuple(self._features))

    def __len__(self) -> int:
        return len(self._features)

    def _list(self, key: FeatureKey, lists: Mapping[str, Iterable[str]]) -> None:
        """Put the id lists of a feature in place of those that it had."""
        self.library.id_lists.update((name, frozenset(members)) for name, members in lists.items())
        for name in self._listed.pop(key, frozenset()) - lists.keys():
            self.library.id_lists.pop(name, None)
        if lists:
            self._listed[key] = frozenset(lists)

    def _compiled(self, text: bytes) -> Evaluator:
        document = RuleDocument.model_validate_json(text, extra="ignore")
        compiled = compile_document(document, self._host, self.library)
        return compiled.of(document.kind)[document.spec_name]

    def _named(self, kind: FeatureKind) -> dict[str, LazyEvaluator]:
        return self._configs if kind is FeatureKind.DYNAMIC_CONFIG else self._gates


def _as_gate(verdict: EvaluationOutcome) -> Evaluation:
    answer = verdict.evaluation
    return answer if answer.value is verdict.passes else answer._replace(value=verdict.passes)
