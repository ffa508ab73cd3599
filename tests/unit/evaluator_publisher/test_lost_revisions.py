"""A version that RULES holds and the log does not is replaced only if no broker is just behind."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.js.api import StreamInfo

from services.evaluator_publisher.grouped_regions import RegionGroup
from services.evaluator_publisher.lost_revisions import LostRevisions
from services.evaluator_publisher.publishable_rules import Outdated, PublishableRules
from services.evaluator_publisher.rule_deletions import RuleDeletions
from services.evaluator_publisher.rule_writer import RuleWriter
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.errors import Unavailable
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.rule_store import RuleStore
from sluiceway.messaging.rule_table import PublishedRule, RuleKey, RuleVersion
from sluiceway.messaging.rule_writes import RuleWrite
from sluiceway.messaging.stream_records import Position
from sluiceway.messaging.stream_view import StreamView
from tests.support.builders import NOW

KEY = RuleKey("dev", FeatureKey(FeatureKind.GATE, "checkout"))
#: The publisher has read the version with the candidate, another one has published that it was taken back.
OLD, NEW, REGION = 50, 60, 3


class View(StreamView):
    """A view that was read to a sequence, and what brokers say of its stream."""

    def __init__(self, read: int, end: int | None) -> None:
        """`end`: where the stream ends for sure; None: no broker that says so is to be trusted."""
        self.follower = cast(Any, self)
        self.position = Position("", read, NOW)
        self.asked = 0
        self._end = end

    async def settled_info(self, is_loss: Callable[[StreamInfo], bool]) -> Any:
        self.asked += 1
        if self._end is None:
            raise Unavailable("cannot look at FEATURES: the broker that answers does not hear most replicas")
        return SimpleNamespace(state=SimpleNamespace(last_seq=self._end))

    async def catch_up(self, timeout: float = 0, at_least: int = 0) -> None:
        self.position = self.position._replace(sequence=max(self.position.sequence, at_least))

    def get(self, key: FeatureKey) -> Any:
        return SimpleNamespace(sequence=min(self.position.sequence, NEW))


class Catalogue(View):
    def get(self, kind: str, id_: str) -> Any:  # type: ignore[override]
        return SimpleNamespace(revision=REGION)


class Newcomers(View):
    """A view of a feature that was created after `OLD`."""

    def get(self, key: FeatureKey) -> Any:
        return super().get(key) if self.position.sequence >= NEW else None


class Rules:
    """What RULES holds, and what is written to it."""

    def __init__(self) -> None:
        self.follower = SimpleNamespace(resets=0)
        self.position = Position("", 9, NOW)
        self.epoch = 7
        self.held = PublishedRule(9, 9, 6, RuleVersion(NEW, REGION), "taken-back")
        self.written: list[RuleWrite] = []

    def regions_with_rules(self) -> list[str]:
        return [KEY.region]

    def keys_with_rules(self) -> list[RuleKey]:
        return [KEY]

    def published(self, key: RuleKey) -> PublishedRule:
        return self.held

    def differs(self, write: RuleWrite) -> bool:
        return write.checksum != self.held.checksum

    def is_newer(self, write: RuleWrite) -> bool:
        return not write.version.supersedes(self.held.version)

    async def write(self, writes: list[RuleWrite]) -> list[RuleWrite]:
        self.written += writes
        return []


CANDIDATE = RuleWrite(KEY, 7, RuleVersion(OLD, REGION), "candidate", NOW, b"{}")


def a_writer(features: View, rules: Rules) -> RuleWriter:
    return RuleWriter(
        cast(FeatureView, features),
        cast(CatalogueView, Catalogue(REGION, REGION)),
        cast(RuleStore, rules),
        cast(PublishableRules, None),
        lambda: NOW,
        cast(RegionGroup, None),
    )


async def test_a_candidate_that_was_taken_back_does_not_come_back_because_a_broker_is_behind() -> None:
    rules = Rules()

    with pytest.raises(Unavailable):
        await a_writer(View(OLD, None), rules).write([CANDIDATE])
    assert rules.written == []


async def test_a_newer_version_that_the_log_turns_out_to_hold_stays() -> None:
    rules = Rules()

    with pytest.raises(Outdated):
        await a_writer(View(OLD, NEW), rules).write([CANDIDATE])
    assert rules.written == []


async def test_a_version_of_a_lost_history_is_replaced() -> None:
    rules = Rules()

    assert await a_writer(View(OLD, OLD), rules).write([CANDIDATE])
    assert rules.written == [CANDIDATE]


@pytest.mark.parametrize("end", [OLD, NEW])
async def test_rules_are_said_to_be_deleted_once_the_log_proves_not_to_hold_their_feature(
    end: int, caplog: pytest.LogCaptureFixture
) -> None:
    rules, features = Rules(), Newcomers(OLD, end)
    group = SimpleNamespace(
        regions=lambda: [(SimpleNamespace(name="dev"), REGION)], __contains__=lambda region: True
    )
    deletions = RuleDeletions(
        cast(FeatureView, features),
        cast(CatalogueView, Catalogue(REGION, REGION)),
        cast(RuleStore, rules),
        a_writer(features, rules),
        cast(RegionGroup, group),
    )

    if end == OLD:
        await deletions.delete_unknown_rules()
    else:
        with pytest.raises(Outdated):
            await deletions.delete_unknown_rules()

    assert bool(rules.written) == ("the log does not hold it" in caplog.text) == (end == OLD)


async def test_what_another_replica_publishes_meanwhile_stays() -> None:
    class Overtaken(View):
        async def settled_info(self, is_loss: Callable[[StreamInfo], bool]) -> Any:
            rules.held = rules.held._replace(sequence=10, version=RuleVersion(NEW + 1, REGION))
            return await super().settled_info(is_loss)

    rules = Rules()

    with pytest.raises(Outdated):
        await a_writer(Overtaken(OLD, OLD), rules).write([CANDIDATE])
    assert rules.written == []


async def test_one_proof_holds_for_all_older_documents_and_for_no_newer_one() -> None:
    rules, view = Rules(), View(OLD, OLD)
    lost = LostRevisions(view, cast(RuleStore, rules))

    await lost.read_past({9: NEW, 8: NEW + 1})
    await lost.read_past({7: NEW + 5})
    await lost.read_past({9: OLD})
    assert view.asked == 1

    rules.position = rules.position._replace(sequence=10)
    await lost.read_past({10: NEW})
    assert view.asked == 2
    rules.follower.resets += 1
    await lost.read_past({5: NEW})
    assert view.asked == 3
