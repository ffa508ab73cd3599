"""Which events a process parses: most of what it knows of features comes from headers."""

import pytest

from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging import feature_entry
from sluiceway.messaging.feature_log import parse_event


def parsed_bodies(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list to which the body of each event is added that is parsed from now on."""
    bodies = list[bytes]()

    def parse(data: bytes, key: FeatureKey | None = None) -> FeatureEvent:
        bodies.append(data)
        return parse_event(data, key)

    monkeypatch.setattr(feature_entry, "parse_event", parse)
    return bodies
