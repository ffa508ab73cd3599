"""What a decision reads of the other features: what is related, however many there are."""

from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest

from sluiceway.contracts.commands import ArchiveFeature, SavePipeline
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import Refusal
from sluiceway.pipelines.catalogue_decisions import PutDocument, Usage, decide_catalogue
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.reference_graph import FeatureReferences, ReferenceGraph
from tests.support.builders import EVERYONE, NOW, Ledger, a_catalogue, a_gate, a_phase, a_pipeline

ON_SEGMENT = {"name": "beta", "conditions": [{"type": "passes_segment", "targetValue": "beta"}]}
#: Reads that a decision may take; those that grow with the features are 1,000 or 20,000.
READS_MAX = 30
FEW, MANY = 1_000, 20_000


class CountedGraph(ReferenceGraph):
    """A graph that counts what is read of it, and that nobody may walk over."""

    def __init__(self, graph: ReferenceGraph) -> None:
        super().__init__(graph._features, graph._referrers, graph._restorers)
        self.reads = 0

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("a decision walks over all features")

    def __contains__(self, name: object) -> bool:
        self.reads += 1
        return super().__contains__(name)

    def of_feature(self, name: str) -> FeatureReferences | None:
        self.reads += 1
        return super().of_feature(name)

    def referrers(self, name: str) -> Collection[str]:
        found = super().referrers(name)
        self.reads += 1 + len(found)
        return found

    def restorers(self, name: str, now_ms: int) -> list[str]:
        found = super().restorers(name, now_ms)
        self.reads += 1 + len(found)
        return found


@pytest.fixture(scope="module", params=[FEW, MANY])
def graph(request: pytest.FixtureRequest) -> ReferenceGraph:
    """Return a graph in which half of all features refer to a segment of their own, and one to `beta`."""
    references: dict[str, tuple[str, ...]] = {
        "segment:beta": (),
        "segment:alone": (),
        "user": ("segment:beta",),
    }
    for n in range(request.param // 2):
        references[f"segment:s{n}"], references[f"g{n}"] = (), (f"segment:s{n}",)
    return ReferenceGraph.of(references)


@pytest.mark.parametrize("rule", [EVERYONE, ON_SEGMENT])
def test_a_save_reads_what_is_related_however_many_features_there_are(
    rule: dict[str, object], graph: ReferenceGraph
) -> None:
    counted = CountedGraph(graph)
    ledger = Ledger(replace(a_catalogue(a_pipeline(a_phase())), references=counted))

    assert not isinstance(ledger.save(a_gate(rule, releasePipelineID="release")), Refusal)
    assert counted.reads < READS_MAX


def test_an_archiving_reads_what_is_related_however_many_features_there_are(graph: ReferenceGraph) -> None:
    counted = CountedGraph(graph)
    ledger = Ledger(replace(a_catalogue(), references=counted))
    ledger.save(a_gate(EVERYONE))
    command = ArchiveFeature(actor="ada", kind=FeatureKind.GATE, name="checkout")

    decision = decide(ledger.state, command, NOW, ledger.catalogue)

    assert not isinstance(decision, Refusal)
    assert counted.reads < READS_MAX


def test_a_pipeline_reads_what_differs_among_the_features_attached_to_it(graph: ReferenceGraph) -> None:
    pipeline = a_pipeline(a_phase(conditions=ON_SEGMENT["conditions"]))
    alone = [FeatureKey(FeatureKind.GATE, f"alone{n}") for n in range(READS_MAX)]
    counted = CountedGraph(graph)
    catalogue = replace(a_catalogue(), references=counted)

    decision = decide_catalogue(
        SavePipeline(actor="ada", pipeline=pipeline), catalogue, Usage({"release": alone}, {})
    )

    assert isinstance(decision, PutDocument)
    assert counted.reads < 2 * len(alone) + READS_MAX
