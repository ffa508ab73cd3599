"""The releases that a scrape of an edge shows."""

import json

import pytest

from services.edge.collectors import AppliedReleaseCollector
from sluiceway.client import document_set, region_rules
from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts.applied_reports import AppliedChange
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.messaging.stream_records import Position

NAMES = ("a", "b", "c")


def document(name: str, trigger: str | None) -> bytes:
    fields = {"kind": FeatureKind.GATE, "name": name, "revision": 1, "eventTimeMs": 0, "trigger": trigger}
    return json.dumps({**fields, "specs": {}}).encode()


def shown(collector: AppliedReleaseCollector) -> list[str]:
    return [sample.labels["trigger"] for family in collector.collect() for sample in family.samples]


def test_a_scrape_shows_the_releases_that_are_held_and_reads_no_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = RegionRules("dev")
    collector = AppliedReleaseCollector(rules)
    for name in NAMES:
        collector.add(AppliedChange(kind=FeatureKind.GATE, name=name, revision=1, after_ms=0))

    def hold(**triggers: str | None) -> list[str]:
        documents = [document(name, trigger) for name, trigger in triggers.items()]
        rules.replace(documents, Position("created", 1, 1), 1)
        with monkeypatch.context() as scrape:
            for module in (document_set, region_rules):
                scrape.delattr(module, "parse_document")
            return shown(collector)

    assert hold(a="gate.a.1", b="gate.b.2", c=None) == ["gate.a.1", "gate.b.2"]
    assert hold(a=None, c="gate.c.3") == ["gate.c.3"]
