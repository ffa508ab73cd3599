"""Cycles of references: whatever was saved at the same moment, no region evaluates one."""

import asyncio
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from services.evaluator_publisher.publishable_rules import PublishableRules
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import Feature, Spec
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.messaging.feature_indexes import FeatureIndex
from sluiceway.messaging.feature_log import headers_of
from sluiceway.messaging.feature_view import FeatureEntry, Index
from sluiceway.pipelines.publish_checks import document_references
from sluiceway.pipelines.references import evaluation_error
from sluiceway.pipelines.spec_changes import spec_of
from sluiceway.pipelines.substitutes import LiveVersions
from tests.support.builders import EVERYONE, NOW, a_gate, a_region

NAMES = ("a", "b", "c", "d")
REFERENCES = st.sets(st.sampled_from(NAMES), max_size=2)
#: Each save by its gate, what it refers to, and whether it takes a version back.
SAVES = st.lists(st.tuples(st.sampled_from(NAMES), REFERENCES, st.booleans()), min_size=1, max_size=12)
STEPS_MAX = 500


class Log:
    """The newest event of every gate, and the versions before it."""

    def __init__(self) -> None:
        self.entries: dict[FeatureKey, FeatureEntry] = {}
        self.versions: dict[FeatureKey, list[Spec]] = {}
        #: What is published.
        self.rules: dict[FeatureKey, bytes | None] = {}
        self.position = 0
        self.indexes: list[FeatureIndex] = []

    def save(self, name: str, references: set[str], takes_back: bool) -> FeatureKey:
        rules = [
            {"name": other, "conditions": [{"type": "passes_gate", "targetValue": other}]}
            for other in sorted(references)
        ]
        key = FeatureKey(FeatureKind.GATE, name)
        known = self.versions.setdefault(key, [])
        spec = spec_of(a_gate(*(rules or [EVERYONE]), name=name), len(known) + 1, None)
        known.append(spec)
        self.position += 1
        event = FeatureEvent(
            type=EventType.TRIGGER_ABORTED if takes_back else EventType.FEATURE_CHANGED,
            time_ms=NOW,
            actor_id="ada",
            command_id=str(self.position),
            feature=Feature(kind=key.kind, name=name, salt=name, base=spec, versions=spec.version),
        )
        data, headers = event.to_json(), headers_of(event, "")
        before = self.entries.get(key)
        self.entries[key] = FeatureEntry(key, self.position, headers, data=data)
        for index in self.indexes:
            index.replace(before, self.entries[key], self.entries)
        return key

    def published_references(self) -> dict[str, tuple[str, ...]]:
        return {
            key.name: document_references(RuleDocument.model_validate_json(data))
            for key, data in self.rules.items()
            if data
        }

    def get(self, key: FeatureKey) -> FeatureEntry | None:
        return self.entries.get(key)

    def with_index(self, index: Index) -> Index:
        for entry in self.entries.values():
            index.replace(None, entry, self.entries)
        self.indexes.append(index)
        return index

    async def live_versions(self, key: FeatureKey, until: int) -> LiveVersions:
        return LiveVersions(tuple(reversed(self.versions[key])))

    async def store(self, *_: Any) -> None:
        """Take a dead letter."""


async def published(log: Log, publishable: PublishableRules, changed: list[FeatureKey]) -> None:
    """Check what changed, and then all that is to be checked again, until there is nothing."""
    pending = dict.fromkeys(changed)
    publishable.on_conflict = lambda keys: pending.update(dict.fromkeys(keys))
    for _ in range(STEPS_MAX):
        if not pending:
            return
        key = next(iter(pending))
        del pending[key]
        rules = await publishable.of(log.entries[key], [a_region()], 0)
        log.rules[key] = rules["dev"].data
    raise AssertionError(f"still checking after {STEPS_MAX} steps")


@given(saves=SAVES)
def test_no_cycle_is_published_and_the_same_is_published_after_a_restart(
    saves: list[tuple[str, set[str], bool]],
) -> None:
    log = Log()
    publishable = PublishableRules(cast(Any, log), cast(Any, log), cast(Any, log), lambda: [a_region()])
    for name, references, takes_back in saves:
        key = log.save(name, references, takes_back)
        asyncio.run(published(log, publishable, [key, *publishable.substituted]))
    served = log.published_references()
    restarted = PublishableRules(cast(Any, log), cast(Any, log), cast(Any, log), lambda: [a_region()])
    asyncio.run(published(log, restarted, list(log.entries)))

    for gate, own in served.items():
        assert evaluation_error(gate, own, served) is None
    assert log.published_references() == served
