"""What a publisher remembers of RULES: an entry for each feature and region, so each must be small."""

import tracemalloc

import pytest

from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.rule_table import NOTHING, PublishedRule, RuleKey, RuleTable, RuleVersion

FEATURES = 5_000
REGIONS = ("dev", "prod")
ENTRY_BYTES_MAX = 300
EPOCH = 1_795_000_000_000
VERSION = RuleVersion(7, 3)


def a_key(feature: str = "checkout", region: str = "dev") -> RuleKey:
    return RuleKey(region, FeatureKey(FeatureKind.GATE, feature))


def test_what_is_stored_is_returned() -> None:
    table, published = RuleTable(), PublishedRule(9, 4, EPOCH, VERSION, "0123456789abcdef")

    table.set(a_key(), published)
    table.set(a_key("other"), published._replace(checksum=NOTHING))

    assert table.get(a_key()) == published
    assert table.get(a_key("other")).checksum == NOTHING
    assert (table.sequences(a_key()), table.version(a_key())) == ((9, 4), VERSION)
    assert table.holds(a_key(), "0123456789abcdef")
    assert not table.holds(a_key(), "0123456789abcdee")
    assert table.get(a_key(region="prod")).sequence == 0
    assert table.sequences(a_key(region="prod")) == (0, 0)
    assert table.version(a_key(region="prod")) == RuleVersion(0, 0)
    assert table.holds(a_key(region="prod"), NOTHING)
    assert [*table.with_rules("dev")] == [a_key().feature]
    assert len(table) == 2


@pytest.mark.parametrize("epoch", [-1, 2**64])
def test_a_number_that_no_publisher_writes_is_refused(epoch: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        RuleTable().set(a_key(), PublishedRule(9, 4, epoch, VERSION, NOTHING))


def test_an_entry_takes_a_few_hundred_bytes() -> None:
    tracemalloc.start()
    table = RuleTable()
    for number in range(FEATURES):
        for region in REGIONS:
            published = PublishedRule(
                number, number, EPOCH + number, RuleVersion(number, 3), f"{number:016x}"
            )
            table.set(a_key(f"feature-{number}", region), published)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert taken / len(table) <= ENTRY_BYTES_MAX
