"""What is looked at of the other features when one is published: what is related to it, and nothing else."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from services.evaluator_publisher.other_references import EvaluatedReferences
from services.evaluator_publisher.publishable_rules import PublishableRules
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.pipelines.reference_graph import GraphReferences
from sluiceway.pipelines.references import evaluation_error
from tests.property.test_cycles import Log, published
from tests.support.builders import a_region

UNRELATED = 50


def gate(name: str) -> FeatureKey:
    return FeatureKey(FeatureKind.GATE, name)


async def test_a_feature_is_published_without_a_walk_over_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    publishable = PublishableRules(cast(Any, log), cast(Any, log), cast(Any, log), lambda: [a_region()])
    for number in range(UNRELATED):
        log.save(f"gate{number}", {f"gate{number + 1}"}, takes_back=False)

    def walk(references: GraphReferences) -> Iterator[str]:
        raise AssertionError("all features are looked at")

    monkeypatch.setattr(GraphReferences, "__iter__", walk)
    key = log.save("new", {"gate40"}, takes_back=False)
    await published(log, publishable, [key])

    assert log.rules[key]


def test_the_index_is_that_of_the_newest_events() -> None:
    log = Log()
    index = log.with_index(EvaluatedReferences())
    log.save("a", {"b"}, takes_back=False)
    log.save("b", {"c"}, takes_back=False)
    log.save("a", {"c"}, takes_back=False)
    log.save("b", set(), takes_back=False)

    assert dict(index.graph.current) == {"a": ("c",)}
    assert index.keys("a") == (gate("a"),)
    assert index.keys("b") == ()
    assert evaluation_error("c", ("a",), index.graph.current) == "it refers to itself: c → a → c"
    index.clear()
    assert dict(index.graph.current) == {}
