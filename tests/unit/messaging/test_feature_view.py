"""What is read from the headers of an event, without its body."""

import time

from sluiceway.contracts import envelope
from sluiceway.contracts.commands import RollOutTrigger
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry, FeatureView
from tests.support.builders import EVERYONE, Ledger, a_catalogue, a_gate, a_phase, a_pipeline

OBSERVE_MS = 60_000
#: Ten times what it takes.
SECONDS_BOUND = 3.0
ON_SEGMENT = {"name": "beta", "conditions": [{"type": "passes_segment", "targetValue": "beta"}]}


def a_completed_release() -> FeatureEvent:
    """Return the end of a release to everyone, before which only a segment had it."""
    ledger = Ledger(a_catalogue(a_pipeline(a_phase(), observe_for_ms=OBSERVE_MS)))
    ledger.catalogue.references["segment:beta"] = ()  # type: ignore[index]
    ledger.save(a_gate(ON_SEGMENT))
    ledger.save(a_gate(EVERYONE, releasePipelineID="release"))
    ledger.act(RollOutTrigger)
    return ledger.events[-1]


def test_what_a_rollback_would_restore_is_referred_to_while_one_may_come() -> None:
    event = a_completed_release()
    entry = FeatureEntry(event.feature.key, 1, headers_of(event, ""), event=event)

    assert entry.references == ()
    assert entry.restorable_references(event.time_ms + OBSERVE_MS - 1) == ("segment:beta",)
    assert entry.restorable_references(event.time_ms + OBSERVE_MS) == ()


def test_an_event_of_an_older_version_says_it_in_its_body() -> None:
    event = a_completed_release()
    headers = headers_of(event, "")
    del headers[envelope.RESTORABLE]
    entry = FeatureEntry(event.feature.key, 1, headers, data=event.to_json())

    assert entry.restorable_references(event.time_ms) == ("segment:beta",)


def test_a_feature_that_is_switched_off_evaluates_no_reference() -> None:
    ledger = Ledger(a_catalogue())
    ledger.catalogue.references["segment:beta"] = ()  # type: ignore[index]
    ledger.save(a_gate(ON_SEGMENT))
    ledger.save(a_gate(ON_SEGMENT, isEnabled=False))
    on, off = (FeatureEntry(e.feature.key, 1, headers_of(e, ""), event=e) for e in ledger.events)

    assert (on.references, on.evaluated_references) == (("segment:beta",), ("segment:beta",))
    assert (off.references, off.evaluated_references) == (("segment:beta",), ())


def test_the_features_of_a_pipeline_are_listed_in_time_that_grows_with_them_alone() -> None:
    view = FeatureView.__new__(FeatureView)
    headers = {envelope.PIPELINE: "release"}
    keys = [FeatureKey(FeatureKind.GATE, f"g{n}") for n in range(50_000)]
    view._entries = {key: FeatureEntry(key, 1, headers, data=b"") for key in keys}

    start = time.monotonic()
    usage = view.usage()

    assert len(usage.attached["release"]) == len(keys)
    assert usage.running == {}
    assert time.monotonic() - start < SECONDS_BOUND
