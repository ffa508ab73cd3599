"""Many gates that are live without a release, as events that the project's own code has decided."""

from collections.abc import Iterable, Iterator

from sluiceway.clock import now_ms
from sluiceway.contracts.commands import SaveFeature
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.feature import FeatureGate
from sluiceway.pipelines.decide import decide
from sluiceway.pipelines.decision import Catalogue

EVERYONE = {"name": "everyone", "conditions": [{"type": "public"}]}


def live_gates(names: Iterable[str]) -> Iterator[FeatureEvent]:
    """Give the first event of each gate; one is decided, and copied with other names."""
    gate = FeatureGate.model_validate({"name": "gate", "rules": [EVERYONE]})
    event = decide(None, SaveFeature(actor="bench", feature=gate), now_ms(), Catalogue())
    assert isinstance(event, FeatureEvent), event
    for name in names:
        yield event.model_copy(update={"feature": event.feature.changed(name=name, salt=name)})
