"""What the streams of rules share: an event that they publish at the same time is decided on once."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluator_publisher import event_documents, publishable_rules
from services.evaluator_publisher.event_documents import CHOSEN_BYTES, ChosenDocument, ProjectedRules
from services.evaluator_publisher.publishable_rules import Outdated, PublishableRules
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.rule_document import ConfigSpec, RuleDocument, SpecSet
from sluiceway.pipelines.projection import checksum, project
from sluiceway.pipelines.substitutes import LiveVersions
from tests.property.test_cycles import Log
from tests.support.builders import a_region

STREAMS = 16
REGIONS = [a_region(f"r{number}") for number in range(STREAMS)]


class SlowLog(Log):
    """A log whose history is read only once the test lets it; it counts."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.letters = 0
        self.may_read = asyncio.Event()

    async def live_versions(self, key: FeatureKey, until: int) -> LiveVersions:
        self.reads += 1
        await self.may_read.wait()
        return await super().live_versions(key, until)

    async def store(self, *_: Any) -> None:
        self.letters += 1


@pytest.fixture
def log() -> SlowLog:
    """Two gates that refer to each other: the later one cannot be published."""
    log = SlowLog()
    log.save("b", set(), takes_back=False)
    log.save("a", {"b"}, takes_back=False)
    return log


def rules_of(log: Log) -> PublishableRules:
    return PublishableRules(cast(Any, log), cast(Any, log), cast(Any, log), lambda: REGIONS)


async def of_all_streams(
    publishable: PublishableRules, log: Log, key: FeatureKey
) -> list[dict[str, ProjectedRules]]:
    """Ask for each region as the only one of its stream, all at the same time; epochs differ."""
    entry = log.entries[key]
    asked = (publishable.of(entry, [region], epoch) for epoch, region in enumerate(REGIONS, 1))
    return await asyncio.gather(*asked)


async def test_an_event_is_projected_once_for_all_streams(
    log: SlowLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    projected: list[object] = []

    def count(*details: Any) -> Any:
        projected.append(details)
        return project(*details)

    monkeypatch.setattr(event_documents, "project", count)
    key = log.save("c", set(), takes_back=False)

    answers = await of_all_streams(rules_of(log), log, key)

    assert len(projected) == 1
    assert len({rules.checksum for answer in answers for rules in answer.values()}) == 1
    bodies = [rules.data or b"" for answer in answers for rules in answer.values()]
    assert [b'"epoch":%d,' % epoch in body for epoch, body in enumerate(bodies, 1)] == [True] * STREAMS


async def test_what_cannot_be_published_is_read_and_reported_once_for_all_streams(log: SlowLog) -> None:
    publishable, key = rules_of(log), log.save("b", {"a"}, takes_back=False)
    checked: list[FeatureKey] = []
    publishable.on_conflict = checked.extend

    asking = asyncio.create_task(of_all_streams(publishable, log, key))
    await asyncio.sleep(0)
    log.may_read.set()
    answers = await asking

    assert (log.reads, log.letters) == (1, 1)
    assert publishable.substituted == (key,)
    assert set(checked) == {key, FeatureKey(key.kind, "a")}
    assert len({rules.checksum for answer in answers for rules in answer.values()}) == 1


async def test_a_stream_that_needs_no_substitute_does_not_forget_those_of_others(log: SlowLog) -> None:
    publishable, key = rules_of(log), log.save("b", {"a"}, takes_back=False)
    log.may_read.set()
    await publishable.of(log.entries[key], REGIONS[:1], 1)

    await publishable.of(log.entries[key], [], 1)

    assert publishable.substituted == (key,)


async def test_an_event_that_is_not_the_newest_any_more_replaces_nothing(log: SlowLog) -> None:
    publishable, key = rules_of(log), log.save("b", {"a"}, takes_back=False)
    asking = asyncio.create_task(publishable.of(log.entries[key], REGIONS, 1))
    await asyncio.sleep(0)

    log.save("b", set(), takes_back=False)
    log.may_read.set()

    with pytest.raises(Outdated):
        await asking
    assert publishable.substituted == ()


async def test_what_is_remembered_is_not_used_once_the_references_of_others_have_changed(
    log: SlowLog,
) -> None:
    publishable, key = rules_of(log), log.save("c", {"b"}, takes_back=False)
    log.may_read.set()
    before = await publishable.of(log.entries[key], REGIONS[:1], 1)

    log.save("b", {"c"}, takes_back=True)
    after = await publishable.of(log.entries[key], REGIONS[:1], 1)

    assert before != after
    assert publishable.substituted == (key,)


@given(epoch=st.integers(1, 2**63), text=st.sampled_from(["epoch", '"epoch":0,', "e"]))
def test_a_document_is_encoded_once_for_all_epochs(epoch: int, text: str) -> None:
    spec = ConfigSpec(
        type="feature_gate", entity="feature_gate", salt=text, enabled=True, default_value=text, rules=()
    )
    document = RuleDocument(
        kind=FeatureKind.GATE,
        name="epoch",
        revision=1,
        event_time_ms=0,
        specs=SpecSet(feature_gates={"epoch": spec}),
    )

    rules = ChosenDocument(document, None).rules(epoch)

    assert rules.data == document.model_copy(update={"epoch": epoch}).to_json()
    assert rules.checksum == checksum(document)


async def test_documents_are_remembered_in_a_bounded_number_of_bytes(
    log: SlowLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishable_rules, "RECENT_BYTES", 5 * CHOSEN_BYTES)
    publishable = rules_of(log)
    for number in range(20):
        key = log.save(f"gate-{number}", set(), takes_back=False)
        await publishable.of(log.entries[key], REGIONS, 1)

    assert 0 < publishable._recent.currsize <= 5 * CHOSEN_BYTES


async def test_what_is_too_large_is_not_remembered(log: SlowLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishable_rules, "RECENT_BYTES", CHOSEN_BYTES)
    publishable, key = rules_of(log), log.save("c", set(), takes_back=False)

    answers = await of_all_streams(publishable, log, key)

    assert len({rules.checksum for answer in answers for rules in answer.values()}) == 1
    assert publishable._recent.currsize == 0
