"""How the rules of regions are spread over streams."""

import itertools

import pytest

from sluiceway.messaging.rules_streams import COUNT_METADATA, STREAMS_MAX, RulesStreams

REGIONS = [f"region-{number}" for number in range(995)]


def test_without_groups_one_stream_holds_all_rules() -> None:
    streams = RulesStreams()
    assert streams.names == ("KV_RULES",)
    assert streams.of("us-west") == "KV_RULES"
    assert streams.subjects(0, REGIONS) == ["$KV.RULES.>"]
    assert streams.metadata == {}


def test_each_region_is_in_the_subjects_of_its_stream_alone() -> None:
    streams = RulesStreams(16)
    listed = {name: streams.subjects(group, REGIONS) for group, name in enumerate(streams.names)}
    assert sorted(itertools.chain(*listed.values())) == sorted(
        [f"$KV.RULES.{region}.>" for region in REGIONS]
        + ["$KV.RULES.=checkpoint.complete"]
        + [f"$KV.RULES.=checkpoint-{group}.complete" for group in range(1, 16)]
    )
    assert all(f"$KV.RULES.{region}.>" in listed[streams.of(region)] for region in REGIONS)


def test_groups_are_about_equal() -> None:
    streams = RulesStreams(16)
    sizes = [len(streams.subjects(group, REGIONS)) for group in range(16)]
    assert max(sizes) <= 2 * len(REGIONS) / 16


def test_the_group_of_a_region_stays_what_it_was() -> None:
    """What an earlier version has written is found where it was written."""
    assert RulesStreams(16).of("us-west") == "KV_RULES_6"
    assert RulesStreams(64).of("prod-eu") == "KV_RULES_53"


@pytest.mark.parametrize("count", [1, 2, 16, STREAMS_MAX])
def test_the_number_is_read_as_it_is_written(count: int) -> None:
    assert RulesStreams.parse(RulesStreams(count).metadata) == RulesStreams(count)


@pytest.mark.parametrize("text", ["0", "-1", "65", "many", "", "1.5", "²", "1" * 5000])
def test_a_number_that_nobody_of_ours_has_written_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        RulesStreams.parse({COUNT_METADATA: text})
