"""Law 6: what a region has applied only moves forward, in whatever order documents arrive.

Documents of a later epoch come after those of an earlier one, whatever their revisions: the log went back.
"""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.client.region_rules import RegionRules
from sluiceway.contracts import subjects
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.stream_records import Record
from sluiceway.pipelines.projection import project
from sluiceway.pipelines.segments import Location
from tests.support.builders import NOW, Ledger, a_gate

DEV = Location("development", {})


def a_history(name: str, length: int) -> list[FeatureEvent]:
    """Return the events of a gate whose rule tells its version."""
    ledger = Ledger()
    for version in range(1, length + 1):
        ledger.save(a_gate({"name": f"version-{version}", "conditions": [{"type": "public"}]}, name=name))
    return ledger.events


def a_record(event: FeatureEvent, revision: int, sequence: int, epoch: int = 0) -> Record:
    document = project(event, revision, DEV)
    assert document
    document = document.model_copy(update={"epoch": epoch})
    return Record(subjects.rule("dev", event.feature.key), sequence, NOW, document.to_json(), {})


@given(data=st.data())
def test_an_older_document_never_replaces_a_newer_one(data: Any) -> None:
    histories = {name: a_history(name, data.draw(st.integers(1, 4))) for name in ("one", "two")}
    places = [(name, revision) for name, log in histories.items() for revision in range(1, len(log) + 1)]
    arrivals = data.draw(st.permutations(places)) + data.draw(st.lists(st.sampled_from(places)))
    rules = RegionRules("dev")
    newest = dict.fromkeys(histories, 0)

    for sequence, (name, revision) in enumerate(arrivals, start=1):
        record = a_record(histories[name][revision - 1], revision, sequence)
        change = rules.apply(record, "created", is_live=False)

        assert (change is None) == (revision < newest[name])
        newest[name] = max(newest[name], revision)
        assert rules.revision(FeatureKey(FeatureKind.GATE, name)) == newest[name]
        assert rules.gate({"userID": "u"}, name).rule_id == f"version-{newest[name]}"

    assert newest == {name: len(log) for name, log in histories.items()}


@given(data=st.data())
def test_documents_are_ordered_by_epoch_and_revision(data: Any) -> None:
    log = a_history("one", 4)
    versions = st.tuples(st.integers(1, 3), st.integers(1, len(log)))
    arrivals = data.draw(st.lists(versions, min_size=1))
    rules = RegionRules("dev")
    newest = (0, 0)

    for sequence, (epoch, revision) in enumerate(arrivals, start=1):
        record = a_record(log[revision - 1], revision, sequence, epoch)
        change = rules.apply(record, "created", is_live=False)

        assert (change is None) == ((epoch, revision) < newest)
        newest = max(newest, (epoch, revision))
        assert rules.gate({"userID": "u"}, "one").rule_id == f"version-{newest[1]}"
